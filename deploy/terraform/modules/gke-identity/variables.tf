variable "project" {
  type = string
}

variable "name" {
  type = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "It names a service account: 6 to 30 of a-z, 0-9 and `-`."
  }
}

variable "workload_pool" {
  description = "PROJECT.svc.id.goog, of the cluster's project."
  type        = string
}

variable "namespace" {
  type = string
}

variable "kubernetes_service_account" {
  type = string
}

variable "secrets" {
  description = "Secret ids that the pod reads itself, by a name of yours."
  type        = map(string)
  default     = {}
}
