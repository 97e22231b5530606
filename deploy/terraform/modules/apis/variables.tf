variable "project" {
  type = string
}

variable "services" {
  description = "Names such as sqladmin.googleapis.com."
  type        = list(string)
}
