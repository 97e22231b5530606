variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "name" {
  type = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "It names a service account too: 6 to 30 of a-z, 0-9 and `-`."
  }
}

variable "region" {
  type = string
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

variable "network" {
  type = string
}

variable "subnetwork" {
  type = string
}

variable "images" {
  description = "Both by digest, so that what runs is what was looked at."
  type        = object({ trackgate = string, mlflow = string })
  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "IMAGE@sha256:DIGEST each."
  }
}

variable "config" {
  description = "trackgate.toml. `@IAP_AUDIENCE@` and `@PUBLIC_URL@` are filled in."
  type        = string
}

variable "database" {
  description = "The database module's outputs."
  type        = object({ host = string, ca = string, secrets = map(string), versions = map(string) })
}

variable "artifacts" {
  description = "Where MLflow keeps artifacts: gs://BUCKET/FOLDER."
  type        = string
}

variable "members" {
  description = "Who may come in: user:, group:, domain:, serviceAccount:."
  type        = list(string)
  validation {
    condition     = alltrue([for member in var.members : can(regex("^(user|group|domain|serviceAccount|principal|principalSet):.+$", member))])
    error_message = "user:, group:, domain:, serviceAccount:, principal: or principalSet: each; never allUsers or allAuthenticatedUsers."
  }
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

variable "instances" {
  type    = object({ min = number, max = number })
  default = { min = 1, max = 3 }
}

variable "deletion_protection" {
  type    = bool
  default = true
}
