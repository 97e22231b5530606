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
  backend "gcs" {
    prefix = "trackgate"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
