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

variable "admins" {
  description = "Trackgate's first administrators, by address."
  type        = list(string)
  validation {
    condition     = length(var.admins) > 0
    error_message = "Without an administrator nobody could give anybody anything."
  }
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

variable "images" {
  description = "IMAGE@sha256:DIGEST of Trackgate (Dockerfile) and of MLflow (deploy/mlflow/Dockerfile)."
  type        = object({ trackgate = string, mlflow = string })
}

variable "domain" {
  description = "A name of your own, such as mlflow.example.com, of a domain that Search Console knows to be yours; null: the one that Cloud Run gives."
  type        = string
  default     = null
  validation {
    condition     = var.domain == null ? true : can(regex("^([a-z0-9-]+[.])+[a-z0-9-]+[.][a-z]{2,}$", var.domain))
    error_message = "A host name below a domain, in lower case, without https://."
  }
}

variable "dns_zone" {
  description = "Name of the Cloud DNS zone that gets the name's record; null: you make it (CNAME to ghs.googlehosted.com.)."
  type        = string
  default     = null
}

variable "instances" {
  type    = object({ min = number, max = number })
  default = { min = 1, max = 3 }
}
