# A VM without an address of its own, behind a load balancer with Identity-Aware Proxy. IAP signs people in; Trackgate verifies
# what it says and decides what they may do; MLflow listens behind it on loopback.
data "google_project" "this" {
  project_id = var.project
}

locals {
  zone   = coalesce(var.zone, "${var.region}-b")
  bucket = coalesce(var.bucket, "${var.project}-${var.name}-artifacts")

  # The load balancer knows its own number only once it stands, behind the machine: the machine reads it here.
  audience_attribute = "${var.name}-iap-audience"

  # Google's front ends, which are its health checkers too.
  fronts = ["130.211.0.0/22", "35.191.0.0/16"]
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
    "monitoring.googleapis.com",
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
  nat        = true
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
  writers       = { server = module.vm.member }
  depends_on    = [module.apis]
}

module "audit" {
  source     = "../../modules/audit"
  project    = var.project
  name       = var.name
  location   = var.region
  filter     = "resource.type=\"gce_instance\" AND log_id(\"trackgate_audit\")"
  depends_on = [module.apis]
}

module "vm" {
  source       = "../../modules/vm"
  project      = var.project
  name         = var.name
  zone         = local.zone
  network      = module.network.network.id
  subnetwork   = module.network.subnetwork.id
  machine_type = var.machine_type
  port         = 8443
  ingress = {
    front  = { ports = [8443], ranges = local.fronts }
    health = { ports = [9477], ranges = local.fronts }
  }
  package                = var.package
  mlflow_packages        = var.mlflow_packages
  secrets                = { "secrets/database-password" = module.database.secrets.trackgate }
  self_signed_for        = var.domain
  iap_audience_attribute = local.audience_attribute
  database               = module.database
  artifacts              = "gs://${module.bucket.name}/mlruns"
  ops_agent              = var.ops_agent
  deletion_protection    = var.deletion_protection
  config = templatefile("${path.module}/trackgate.toml.tftpl", {
    domain         = var.domain
    project        = var.project
    database_host  = module.database.host
    fronts         = concat(local.fronts, [module.lb.address])
    hosted_domains = var.hosted_domains
    admins         = var.admins
  })
  depends_on = [module.apis]
}

module "lb" {
  source         = "../../modules/lb-iap"
  project        = var.project
  project_number = data.google_project.this.number
  name           = var.name
  domain         = var.domain
  instance       = module.vm.instance
  port           = 8443
  members        = var.members
  dns_zone       = var.dns_zone
  depends_on     = [module.apis]

  programmatic_clients = var.programmatic_clients
}

resource "google_compute_project_metadata_item" "audience" {
  project = var.project
  key     = local.audience_attribute
  value   = module.lb.audience
}
