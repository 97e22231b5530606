variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "name" {
  type = string
}

variable "domain" {
  description = "The one name under which Trackgate is reached."
  type        = string
}

variable "instance" {
  description = "The machine that Trackgate runs on: the module vm's output of that name."
  type        = object({ self_link = string, zone = string })
}

variable "port" {
  description = "Where Trackgate listens there."
  type        = number
}

variable "health_port" {
  type    = number
  default = 9477
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

variable "security_policy" {
  description = "A Cloud Armor policy of yours."
  type        = string
  default     = null
}

variable "dns_zone" {
  description = "Name of the Cloud DNS zone that gets the A record; null: you make it."
  type        = string
  default     = null
}

variable "dns_project" {
  type    = string
  default = null
}
