variable "project" {
  type = string
}

variable "name" {
  type = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "It names a service account too: 6 to 30 of a-z, 0-9 and `-`."
  }
}

variable "zone" {
  type = string
}

variable "network" {
  description = "Its id."
  type        = string
}

variable "subnetwork" {
  description = "Its id."
  type        = string
}

variable "ingress" {
  description = "Who reaches which ports besides SSH, by a name of the rule. There is no default: nobody."
  type        = map(object({ ports = list(number), ranges = list(string) }))
  validation {
    # Half of all addresses is as good as all. Port 80 alone may be opened further: it answers redirects and an ACME
    # server's questions, and Let's Encrypt does not say from where it asks.
    condition = alltrue(flatten([for rule in values(var.ingress) : [for range in rule.ranges :
    can(cidrnetmask(range)) && (rule.ports == tolist([80]) || tonumber(split("/", range)[1]) >= 8)]]))
    error_message = "IPv4 ranges of /8 and smaller; nothing but port 80 is opened further."
  }
  validation {
    condition     = alltrue([for rule in values(var.ingress) : !contains(rule.ports, 22) && !contains(rule.ports, 5000)])
    error_message = "SSH comes through IAP, and MLflow is reached by Trackgate alone."
  }
}

variable "external_address" {
  description = "A reserved address; null: none, and the machine gets out by Cloud NAT."
  type        = string
  default     = null
}

variable "machine_type" {
  type    = string
  default = "e2-standard-2"
}

variable "image" {
  type    = string
  default = "debian-cloud/debian-12"
}

variable "disk_gb" {
  type    = number
  default = 20
}

variable "disk_kms_key" {
  type    = string
  default = null
}

variable "deletion_protection" {
  type    = bool
  default = true
}

variable "port" {
  description = "Where Trackgate listens."
  type        = number
}

variable "redirect" {
  description = "Whether port 80 leads to https."
  type        = bool
  default     = false
}

variable "package" {
  description = "Trackgate's .deb: gs://BUCKET/OBJECT or https://..., and its SHA-256."
  type        = object({ url = string, sha256 = string })
  validation {
    condition     = can(regex("^(gs|https)://[^/]+/.+[.]deb$", var.package.url)) && can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "`url` is gs://BUCKET/OBJECT.deb or https://..., `sha256` 64 hexadecimal digits."
  }
}

variable "mlflow_packages" {
  description = "What pip installs, each pinned. See examples/vm."
  type        = list(string)
  validation {
    condition     = alltrue([for package in var.mlflow_packages : can(regex("^[A-Za-z0-9._-]+(\\[[a-z,]+\\])?==[0-9A-Za-z.]+$", package))])
    error_message = "NAME==VERSION each."
  }
  validation {
    condition     = anytrue([for package in var.mlflow_packages : startswith(package, "mlflow==")])
    error_message = "`mlflow==VERSION` is missing."
  }
}

variable "config" {
  description = "trackgate.toml. Secrets are not in it: it names files (`credential:secret_NAME`). `@IAP_AUDIENCE@` is filled in on the machine."
  type        = string
}

variable "secrets" {
  description = "Secret ids, by the file below /etc/trackgate that holds the secret: `secrets/NAME` (in the configuration `credential:secret_NAME`) or `tls/NAME`."
  type        = map(string)
  validation {
    condition     = alltrue([for name, id in var.secrets : can(regex("^(secrets|tls)/[a-z0-9.-]+$", name)) && can(regex("^[A-Za-z0-9_-]+$", id))])
    error_message = "`secrets/NAME` or `tls/NAME`, and the id of a secret."
  }
}

variable "database" {
  description = "The database module's outputs."
  type        = object({ host = string, ca = string, secrets = map(string) })
}

variable "artifacts" {
  description = "Where MLflow keeps artifacts: gs://BUCKET/FOLDER."
  type        = string
}

variable "self_signed_for" {
  description = "A host name: the machine makes itself a certificate of that name, for the way between Google's front and it. Empty: none."
  type        = string
  default     = ""
}

variable "iap_audience_attribute" {
  description = "The key of the project's metadata that holds IAP's audience, which is known only once the load balancer stands. Empty: no IAP."
  type        = string
  default     = ""
}

variable "ops_agent" {
  description = "Whether Google's Ops Agent ships logs, the audit stream and metrics."
  type        = bool
  default     = true
}
