# A cluster (Autopilot, private), and around it what the Helm chart deploy/helm/trackgate needs: database, bucket, the pod's
# identity, an address, a certificate. The chart puts Trackgate and MLflow into one pod; docs/gcp.md goes on from here.
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
    "artifactregistry.googleapis.com",
    "certificatemanager.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "dns.googleapis.com",
    "iam.googleapis.com",
    "iap.googleapis.com",
    "logging.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
  ]
}

module "network" {
  source           = "../../modules/network"
  project          = var.project
  name             = var.name
  region           = var.region
  nat              = true
  secondary_ranges = { pods = "10.64.0.0/16", services = "10.65.0.0/20" }
  depends_on       = [module.apis]
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
  writers       = { server = module.identity.member }
  depends_on    = [module.apis]
}

module "audit" {
  source     = "../../modules/audit"
  project    = var.project
  name       = var.name
  location   = var.region
  filter     = "resource.type=\"k8s_container\" AND resource.labels.namespace_name=\"${var.namespace}\" AND log_id(\"stdout\") AND jsonPayload.decision:*"
  depends_on = [module.apis]
}

# What nodes run as: to pull images, to write logs and metrics.
resource "google_service_account" "nodes" {
  project      = var.project
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of the cluster ${var.name}"
  depends_on   = [module.apis]
}

resource "google_project_iam_member" "nodes" {
  for_each = toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])

  project = var.project
  role    = each.value
  member  = google_service_account.nodes.member
}

resource "google_container_cluster" "this" {
  # checkov:skip=CKV_GCP_12:Autopilot runs Dataplane V2, which enforces network policies
  # checkov:skip=CKV_GCP_13:Autopilot has no client certificates
  # checkov:skip=CKV_GCP_21:Labels are the organization's
  # checkov:skip=CKV_GCP_61:The subnet has flow logs, and Autopilot has intranode visibility always
  # checkov:skip=CKV_GCP_65:Access by Google groups needs a group of the organization
  # checkov:skip=CKV_GCP_66:Which images may run is the organization's policy
  # checkov:skip=CKV_GCP_69:Autopilot has the metadata server of GKE always
  # checkov:skip=CKV_GCP_68:Autopilot's nodes are shielded always
  # checkov:skip=CKV_GCP_20:There is no address of the control plane to restrict; its DNS name answers whom IAM lets in
  project             = var.project
  name                = var.name
  location            = var.region
  enable_autopilot    = true
  deletion_protection = var.deletion_protection
  network             = module.network.network.id
  subnetwork          = module.network.subnetwork.id

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
    ip_endpoints_config {
      enabled = false
    }
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = google_service_account.nodes.email
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    }
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  release_channel {
    channel = "REGULAR"
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]
    managed_prometheus {
      enabled = true
    }
  }

  depends_on = [google_project_iam_member.nodes]
}

module "identity" {
  source                     = "../../modules/gke-identity"
  project                    = var.project
  name                       = var.name
  workload_pool              = "${var.project}.svc.id.goog"
  namespace                  = var.namespace
  kubernetes_service_account = var.kubernetes_service_account
  # The pool of identities comes with the project's first cluster.
  depends_on = [google_container_cluster.this]
}

# Health is asked on a listener of its own. The Gateway makes a rule for itself, which is described as being for the ports that
# its Services lead to: not this one.
resource "google_compute_firewall" "health" {
  project                 = var.project
  name                    = "${var.name}-health"
  network                 = module.network.network.id
  description             = "Health checks of the load balancer"
  direction               = "INGRESS"
  source_ranges           = ["130.211.0.0/22", "35.191.0.0/16"]
  target_service_accounts = [google_service_account.nodes.email]

  allow {
    protocol = "tcp"
    ports    = ["9477"]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# The Gateway takes these by name.
resource "google_compute_global_address" "this" {
  project    = var.project
  name       = var.name
  depends_on = [module.apis]
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
  depends_on      = [module.apis]
}

resource "google_certificate_manager_dns_authorization" "this" {
  project    = var.project
  name       = var.name
  domain     = var.domain
  depends_on = [module.apis]
}

resource "google_certificate_manager_certificate" "this" {
  project = var.project
  name    = var.name

  managed {
    domains            = [var.domain]
    dns_authorizations = [google_certificate_manager_dns_authorization.this.id]
  }
}

resource "google_certificate_manager_certificate_map" "this" {
  project    = var.project
  name       = var.name
  depends_on = [module.apis]
}

resource "google_certificate_manager_certificate_map_entry" "this" {
  project      = var.project
  name         = var.name
  map          = google_certificate_manager_certificate_map.this.name
  certificates = [google_certificate_manager_certificate.this.id]
  hostname     = var.domain
}

locals {
  authorization = google_certificate_manager_dns_authorization.this.dns_resource_record[0]
}

resource "google_dns_record_set" "this" {
  for_each = var.dns_zone == null ? {} : {
    address       = { name = "${var.domain}.", type = "A", data = google_compute_global_address.this.address }
    authorization = local.authorization
  }

  project      = var.project
  managed_zone = var.dns_zone
  name         = each.value.name
  type         = each.value.type
  ttl          = 300
  rrdatas      = [each.value.data]
}

# The Gateway makes the backend service, so that its number is known after the chart is installed.
data "google_compute_backend_service" "gateway" {
  count = var.backend_service == null ? 0 : 1

  project = var.project
  name    = var.backend_service
}

locals {
  audience = var.backend_service == null ? null : "/projects/${data.google_project.this.number}/global/backendServices/${data.google_compute_backend_service.gateway[0].generated_id}"
  images   = { for name, image in var.images : name => split("@", image) }

  # What the chart deploy/helm/trackgate is told. Passwords are not in it: it names Secrets of the cluster, which `./finish` makes.
  values = {
    fullnameOverride = var.name
    image            = { repository = local.images.trackgate[0], digest = local.images.trackgate[1] }
    replicaCount     = var.replicas
    # MLflow has its password in a variable, which a pod reads at its start alone: other passwords, other pods.
    podAnnotations = { "trackgate/password-generation" = tostring(var.password_generation) }
    config = {
      public_url = "https://${var.domain}"
      issuer     = []
      access     = { admins = var.admins }
      log        = { format = "json", google_project = var.project }
    }
    iap = {
      enabled = true
      # Before the backend service stands: an audience that nothing is made out to, so that nobody comes in.
      audiences      = [coalesce(local.audience, "/projects/0/global/backendServices/0")]
      hosted_domains = var.hosted_domains
    }
    postgres = {
      url            = "postgres://trackgate@${module.database.host}/trackgate"
      passwordSecret = { name = "trackgate-database", key = "password" }
      caSecret       = { name = "trackgate-database", key = "ca.pem" }
    }
    mlflow = {
      image                = { repository = local.images.mlflow[0], digest = local.images.mlflow[1] }
      backendStoreSecret   = { name = "mlflow-database", key = "uri" }
      artifactsDestination = "gs://${module.bucket.name}/mlruns"
      secrets              = [{ name = "mlflow-db", secretName = "mlflow-database-ca" }]
    }
    serviceAccount = { name = var.kubernetes_service_account, googleServiceAccount = module.identity.service_account }
    gateway = {
      enabled        = true
      create         = true
      certificateMap = google_certificate_manager_certificate_map.this.name
      addressName    = google_compute_global_address.this.name
      google         = { sslPolicy = google_compute_ssl_policy.this.name }
    }
    networkPolicy = { databases = ["${module.database.address}/32"] }
    podMonitoring = { enabled = true }
  }
}

# Who may come as far as Trackgate.
resource "google_iap_web_backend_service_iam_member" "this" {
  for_each = toset(var.backend_service == null ? [] : var.members)

  project             = var.project
  web_backend_service = var.backend_service
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
  depends_on          = [module.apis]
}

# Google's own OAuth client is for browsers alone: IAP takes ID tokens of programs where they are made out for one of these.
resource "google_iap_settings" "this" {
  count = var.backend_service == null || length(var.programmatic_clients) == 0 ? 0 : 1

  name = "projects/${data.google_project.this.number}/iap_web/compute/services/${var.backend_service}"

  access_settings {
    oauth_settings {
      programmatic_clients = var.programmatic_clients
    }
  }
  depends_on = [module.apis]
}
