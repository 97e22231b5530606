terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.21, < 8"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.7, < 4"
    }
  }

  # State holds the databases' passwords: a bucket of its own, for those who may know them.
  # terraform init -backend-config=bucket=STATE_BUCKET
  # A second one of this example (another `name`) has a state of its own: -backend-config=prefix=NAME besides.
  backend "gcs" {
    prefix = "trackgate-vm"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
