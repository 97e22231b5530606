# One VM with an address of its own: Trackgate ends TLS on 443 and signs people in, MLflow listens behind it on loopback.
data "google_project" "this" {
  project_id = var.project
}

locals {
  zone   = coalesce(var.zone, "${var.region}-b")
  bucket = coalesce(var.bucket, "${var.project}-${var.name}-artifacts")

  # Which file below /etc/trackgate holds which secret of Secret Manager.
  secrets = merge(
    {
      "secrets/database-password"  = module.database.secrets.trackgate
      "secrets/oidc-client-secret" = var.oidc.secret
    },
    var.certificate == null ? {} : {
      "tls/cert.pem" = var.certificate.chain
      "tls/key.pem"  = var.certificate.key
    },
  )
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

resource "google_compute_address" "this" {
  project    = var.project
  name       = var.name
  region     = var.region
  depends_on = [module.apis]
}

module "vm" {
  source           = "../../modules/vm"
  project          = var.project
  name             = var.name
  zone             = local.zone
  network          = module.network.network.id
  subnetwork       = module.network.subnetwork.id
  external_address = google_compute_address.this.address
  machine_type     = var.machine_type
  port             = 443
  redirect         = true
  ingress = {
    https    = { ports = [443], ranges = var.client_ranges }
    redirect = { ports = [80], ranges = distinct(concat(var.client_ranges, try(var.acme.ranges, []))) }
  }
  package             = var.package
  mlflow_packages     = var.mlflow_packages
  secrets             = local.secrets
  database            = module.database
  artifacts           = "gs://${module.bucket.name}/mlruns"
  ops_agent           = var.ops_agent
  deletion_protection = var.deletion_protection
  config = templatefile("${path.module}/trackgate.toml.tftpl", {
    domain        = var.domain
    project       = var.project
    database_host = module.database.host
    oidc          = var.oidc
    acme          = var.acme
    admins        = var.admins
  })
  depends_on = [module.apis]
}

resource "google_dns_record_set" "this" {
  count = var.dns_zone == null ? 0 : 1

  project      = var.project
  managed_zone = var.dns_zone
  name         = "${var.domain}."
  type         = "A"
  ttl          = 300
  rrdatas      = [google_compute_address.this.address]
}
