variable "project" {
  type = string
}

variable "name" {
  description = "Unique in the whole world."
  type        = string
}

variable "location" {
  type = string
}

variable "writers" {
  description = "Who reads and writes artifacts: the server's service account. By any name of yours."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for member in values(var.writers) : startswith(member, "serviceAccount:")])
    error_message = "Artifacts go through the server: service accounts alone belong here."
  }
}

variable "nearline_days" {
  description = "After how many days objects become Nearline; null: never."
  type        = number
  default     = null
}

variable "soft_delete_days" {
  type    = number
  default = 7
  validation {
    condition     = var.soft_delete_days >= 7 && var.soft_delete_days <= 90
    error_message = "Cloud Storage keeps deleted objects for 7 to 90 days."
  }
}

variable "kms_key" {
  description = "A key of yours; null: Google's."
  type        = string
  default     = null
}
