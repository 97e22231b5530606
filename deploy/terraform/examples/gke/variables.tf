variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  type    = string
  default = "europe-west1"
}

variable "name" {
  description = "What everything is called."
  type        = string
  default     = "trackgate"
}

variable "bucket" {
  description = "Name of the bucket of artifacts; null: PROJECT-NAME-artifacts."
  type        = string
  default     = null
}

variable "nearline_days" {
  description = "After how many days artifacts go to Nearline, which is cheaper to keep and dearer to read; null: never. 90 is a beginning for large installations."
  type        = number
  default     = null
}

variable "database" {
  description = "Size of the database. docs/gcp.md has what was measured."
  type = object({
    tier              = optional(string, "db-custom-1-3840")
    high_availability = optional(bool, false)
  })
  default = {}
}

variable "password_generation" {
  description = "A higher number: new passwords of the database."
  type        = number
  default     = 1
}

variable "deletion_protection" {
  description = "Of the machine or service, the database and its secrets. False only to take all of it down."
  type        = bool
  default     = true
}

variable "domain" {
  description = "The name under which people and programs reach it, such as mlflow.example.com."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9-]+[.])+[a-z]{2,}$", var.domain))
    error_message = "A host name in lower case, without https://."
  }
}

variable "dns_zone" {
  description = "Name of the Cloud DNS zone of that name, which gets its record; null: you make it."
  type        = string
  default     = null
}

variable "members" {
  description = "Who may come in: domain:example.com, group:..., user:..., serviceAccount:... What they may do, Trackgate decides."
  type        = list(string)
}

variable "programmatic_clients" {
  description = "OAuth clients of the organization for which programs' ID tokens may be made out; without any, IAP lets no such token through. By their ids, which are no secret."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for client in var.programmatic_clients : can(regex("^[0-9]+-[a-z0-9]+[.]apps[.]googleusercontent[.]com$", client))])
    error_message = "NUMBER-LETTERS.apps.googleusercontent.com each: the client's id, not its secret and not IAP's audience."
  }
}

variable "hosted_domains" {
  description = "Google Workspace domains whose people count."
  type        = list(string)
}

variable "admins" {
  description = "Trackgate's first administrators, by address."
  type        = list(string)
  validation {
    condition     = length(var.admins) > 0
    error_message = "Without an administrator nobody could give anybody anything."
  }
}

variable "images" {
  description = "IMAGE@sha256:DIGEST of Trackgate (Dockerfile) and of MLflow (deploy/mlflow/Dockerfile)."
  type        = object({ trackgate = string, mlflow = string })
  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("^[^@]+@sha256:[0-9a-f]{64}$", image))])
    error_message = "IMAGE@sha256:DIGEST each."
  }
}

variable "replicas" {
  description = "How many pods, each with an MLflow of its own; two and more outlive a node."
  type        = number
  default     = 2
}

variable "namespace" {
  type    = string
  default = "trackgate"
}

variable "kubernetes_service_account" {
  type    = string
  default = "trackgate"
}

variable "backend_service" {
  description = "Name of the backend service that the Gateway made, from which IAP's audience comes; null at first. `./finish` finds it and writes it down."
  type        = string
  default     = null
}
