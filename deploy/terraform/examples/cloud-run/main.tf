# One Cloud Run service with IAP on it: Trackgate takes the requests, MLflow listens beside it in the same instance, on loopback.
data "google_project" "this" {
  project_id = var.project
}

locals {
  bucket = coalesce(var.bucket, "${var.project}-${var.name}-artifacts")
}

# Everything waits for them: an empty project has none.
module "apis" {
  source  = "../../modules/apis"
  project = var.project
  services = [
    "compute.googleapis.com",
    "dns.googleapis.com",
    "iam.googleapis.com",
    "iap.googleapis.com",
    "logging.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
  ]
}

module "network" {
  source     = "../../modules/network"
  project    = var.project
  name       = var.name
  region     = var.region
  depends_on = [module.apis]
}

module "database" {
  source              = "../../modules/database"
  project             = var.project
  name                = var.name
  region              = var.region
  network             = module.network.network.id
  services_connection = module.network.services_connection
  tier                = var.database.tier
  high_availability   = var.database.high_availability
  password_generation = var.password_generation
  deletion_protection = var.deletion_protection
  depends_on          = [module.apis]
}

module "bucket" {
  source        = "../../modules/bucket"
  project       = var.project
  name          = local.bucket
  location      = var.region
  nearline_days = var.nearline_days
  writers       = { server = module.service.member }
  depends_on    = [module.apis]
}

module "audit" {
  source     = "../../modules/audit"
  project    = var.project
  name       = var.name
  location   = var.region
  filter     = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\" AND log_id(\"run.googleapis.com/stdout\") AND jsonPayload.decision:*"
  depends_on = [module.apis]
}

module "service" {
  source              = "../../modules/cloud-run"
  project             = var.project
  project_number      = data.google_project.this.number
  name                = var.name
  region              = var.region
  domain              = var.domain
  dns_zone            = var.dns_zone
  network             = module.network.network.id
  subnetwork          = module.network.subnetwork.id
  images              = var.images
  instances           = var.instances
  members             = var.members
  database            = module.database
  artifacts           = "gs://${module.bucket.name}/mlruns"
  deletion_protection = var.deletion_protection
  config = templatefile("${path.module}/trackgate.toml.tftpl", {
    project        = var.project
    database_host  = module.database.host
    hosted_domains = var.hosted_domains
    admins         = var.admins
  })
  depends_on = [module.apis]

  programmatic_clients = var.programmatic_clients
}
