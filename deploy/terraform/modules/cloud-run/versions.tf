terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      # 7.21: `iap_enabled`.
      source  = "hashicorp/google"
      version = ">= 7.21, < 8"
    }
    # For IAP's own service agent alone, which the other provider cannot make.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8"
    }
  }
}
