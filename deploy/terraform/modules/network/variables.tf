variable "project" {
  type = string
}

variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "subnet_range" {
  type    = string
  default = "10.10.0.0/24"
}

variable "secondary_ranges" {
  description = "By name; GKE's pods and services."
  type        = map(string)
  default     = {}
}

variable "nat" {
  description = "Whether machines without an external address get out (Cloud NAT)."
  type        = bool
  default     = false
}
