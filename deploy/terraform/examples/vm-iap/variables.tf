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

variable "zone" {
  description = "Null: REGION-b."
  type        = string
  default     = null
}

variable "machine_type" {
  type    = string
  default = "e2-standard-2"
}

variable "package" {
  description = "Trackgate's .deb: gs://BUCKET/OBJECT or https://..., and its SHA-256. Another one: an upgrade."
  type        = object({ url = string, sha256 = string })
}

variable "mlflow_packages" {
  description = "The stock MLflow, its database driver and its bucket client, pinned. Another version: an upgrade."
  type        = list(string)
  default     = ["mlflow==3.17.2", "psycopg2-binary==2.9.11", "google-cloud-storage==3.4.1"]
}

variable "ops_agent" {
  description = "Google's Ops Agent ships logs, the audit stream and metrics. Without it they stay on the machine."
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

