variable "project" {
  type = string
}

variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "network" {
  description = "Its id."
  type        = string
}

variable "services_connection" {
  description = "The network module's output of that name: the private address needs the peering."
  type        = string
}

variable "database_version" {
  type    = string
  default = "POSTGRES_17"
  validation {
    # Up to 15, whoever may make roles may join any: MLflow's user could read what is Trackgate's.
    condition     = can(regex("^POSTGRES_(1[6-9]|[2-9][0-9])$", var.database_version))
    error_message = "PostgreSQL 16 or later."
  }
}

variable "tier" {
  type    = string
  default = "db-custom-1-3840"
}

variable "disk_gb" {
  type    = number
  default = 10
}

variable "high_availability" {
  description = "A standby in another zone."
  type        = bool
  default     = false
}

variable "backups" {
  type    = number
  default = 14
}

variable "deletion_protection" {
  description = "By Terraform and by the API."
  type        = bool
  default     = true
}

variable "password_generation" {
  description = "A higher number: new passwords."
  type        = number
  default     = 1
}
