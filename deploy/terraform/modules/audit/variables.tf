variable "project" {
  type = string
}

variable "name" {
  type = string
}

variable "location" {
  description = "A region, or `global`."
  type        = string
}

variable "filter" {
  description = "Which log entries are Trackgate's audit records."
  type        = string
  validation {
    condition     = length(trimspace(var.filter)) > 0
    error_message = "An empty filter would send every log entry of the project."
  }
}

variable "retention_days" {
  type    = number
  default = 400
  validation {
    condition     = var.retention_days >= 30
    error_message = "Keep the audit stream for 30 days at least."
  }
}
