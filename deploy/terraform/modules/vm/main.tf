resource "google_service_account" "this" {
  project      = var.project
  account_id   = var.name
  display_name = "Trackgate and MLflow on the VM ${var.name}"
}

# On the project: to write logs and metrics, and nothing else.
resource "google_project_iam_member" "this" {
  for_each = toset(["roles/logging.logWriter", "roles/monitoring.metricWriter"])

  project = var.project
  role    = each.value
  member  = google_service_account.this.member
}

# Each secret by name.
resource "google_secret_manager_secret_iam_member" "this" {
  for_each = merge({ "mlflow-database" = var.database.secrets.mlflow }, var.secrets)

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}

# The package, where it lies in a bucket.
resource "google_storage_bucket_iam_member" "package" {
  count = startswith(var.package.url, "gs://") ? 1 : 0

  bucket = split("/", var.package.url)[2]
  role   = "roles/storage.objectViewer"
  member = google_service_account.this.member
}

# SSH comes through Identity-Aware Proxy (`gcloud compute ssh --tunnel-through-iap`), by people whom IAM allows.
resource "google_compute_firewall" "ssh" {
  project                 = var.project
  name                    = "${var.name}-ssh"
  network                 = var.network
  description             = "SSH through IAP's TCP forwarding"
  direction               = "INGRESS"
  source_ranges           = ["35.235.240.0/20"]
  target_service_accounts = [google_service_account.this.email]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "in" {
  for_each = var.ingress

  project                 = var.project
  name                    = "${var.name}-${each.key}"
  network                 = var.network
  direction               = "INGRESS"
  source_ranges           = each.value.ranges
  target_service_accounts = [google_service_account.this.email]

  allow {
    protocol = "tcp"
    ports    = [for port in each.value.ports : tostring(port)]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_instance" "this" {
  # checkov:skip=CKV_GCP_38:Google encrypts the disk; a key of your own is `disk_kms_key`
  # checkov:skip=CKV_GCP_40:Only with `external_address`, which the example without a load balancer sets; its firewall lists who comes in
  project                   = var.project
  zone                      = var.zone
  name                      = var.name
  machine_type              = var.machine_type
  deletion_protection       = var.deletion_protection
  allow_stopping_for_update = true

  boot_disk {
    kms_key_self_link = var.disk_kms_key
    initialize_params {
      image = var.image
      size  = var.disk_gb
      type  = "pd-balanced"
    }
  }

  network_interface {
    subnetwork = var.subnetwork
    dynamic "access_config" {
      for_each = var.external_address == null ? [] : [var.external_address]
      content {
        nat_ip = access_config.value
      }
    }
  }

  service_account {
    email = google_service_account.this.email
    # IAM says what it may; scopes are the older, coarser way.
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  # Whoever may read the instance reads this: no secrets, only their names. Changes count when the script runs again:
  # at the next start, or by `google_metadata_script_runner startup`.
  metadata = {
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
    serial-port-enable     = "FALSE"
    startup-script         = file("${path.module}/startup.sh")

    trackgate-package        = var.package.url
    trackgate-package-sha256 = var.package.sha256
    trackgate-config         = var.config
    trackgate-secrets        = join("\n", [for name, id in var.secrets : "${name} ${id}"])
    trackgate-self-signed    = coalesce(var.self_signed_for, "none")
    trackgate-port           = tostring(var.port)
    trackgate-redirect       = var.redirect ? "true" : "false"
    trackgate-iap-audience   = coalesce(var.iap_audience_attribute, "none")
    trackgate-ops-agent      = var.ops_agent ? "true" : "false"
    mlflow-packages          = join("\n", var.mlflow_packages)
    mlflow-artifacts         = var.artifacts
    mlflow-database-host     = var.database.host
    mlflow-database-secret   = var.database.secrets.mlflow
    database-ca              = var.database.ca
  }

  depends_on = [
    google_secret_manager_secret_iam_member.this,
    google_storage_bucket_iam_member.package,
    google_project_iam_member.this,
  ]
}
