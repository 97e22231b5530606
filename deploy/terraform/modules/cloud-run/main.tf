locals {
  # Deterministic, so that the configuration may name it before the service stands.
  host     = "${var.name}-${var.project_number}.${var.region}.run.app"
  url      = "https://${coalesce(var.domain, local.host)}"
  config   = replace(replace(var.config, "@IAP_AUDIENCE@", local.audience), "@PUBLIC_URL@", local.url)
  audience = "/projects/${var.project_number}/locations/${var.region}/services/${var.name}"
}

resource "google_service_account" "this" {
  project      = var.project
  account_id   = var.name
  display_name = "Trackgate and MLflow on Cloud Run"
}

# Not a secret, but mounted as one: Cloud Run mounts nothing else.
resource "google_secret_manager_secret" "config" {
  project   = var.project
  secret_id = "${var.name}-config"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

# What a running revision names stays readable after another one took its place, or new instances of it would not start, and
# nobody could go back to it.
resource "google_secret_manager_secret_version" "config" {
  secret          = google_secret_manager_secret.config.id
  secret_data     = local.config
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret" "ca" {
  project   = var.project
  secret_id = "${var.name}-database-ca"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_version" "ca" {
  secret          = google_secret_manager_secret.ca.id
  secret_data     = var.database.ca
  deletion_policy = "ABANDON"
}

# Each secret by name.
resource "google_secret_manager_secret_iam_member" "this" {
  for_each = {
    config    = google_secret_manager_secret.config.secret_id
    ca        = google_secret_manager_secret.ca.secret_id
    mlflow    = var.database.secrets.mlflow
    trackgate = var.database.secrets.trackgate
  }

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}

resource "google_cloud_run_v2_service" "this" {
  # checkov:skip=CKV_GCP_102:Nobody but IAP may invoke it (`google_cloud_run_v2_service_iam_member` below)
  project              = var.project
  location             = var.region
  name                 = var.name
  ingress              = "INGRESS_TRAFFIC_ALL"
  deletion_protection  = var.deletion_protection
  iap_enabled          = true
  invoker_iam_disabled = false

  template {
    service_account                  = google_service_account.this.email
    timeout                          = "3600s"
    max_instance_request_concurrency = 200
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      # MLflow needs some 25 s of CPU to start: nobody should wait for that.
      min_instance_count = var.instances.min
      max_instance_count = var.instances.max
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    containers {
      name       = "trackgate"
      image      = var.images.trackgate
      args       = ["--config", "/etc/trackgate/trackgate.toml", "serve"]
      depends_on = ["mlflow"]

      # HTTP/2 without TLS as far as the container: over HTTP/1, Cloud Run ends requests at 32 MiB.
      ports {
        name           = "h2c"
        container_port = 8080
      }
      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        startup_cpu_boost = true
        # Keys, groups and snapshots are renewed between requests too.
        cpu_idle = false
      }
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 3
        failure_threshold = 24
        http_get {
          path = "/readyz"
          port = 9477
        }
      }
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/livez"
          port = 9477
        }
      }
      volume_mounts {
        name       = "config"
        mount_path = "/etc/trackgate"
      }
      volume_mounts {
        name       = "database-password"
        mount_path = "/secrets/database-password"
      }
      volume_mounts {
        name       = "database-ca"
        mount_path = "/secrets/database-ca"
      }
    }

    containers {
      name  = "mlflow"
      image = var.images.mlflow
      # 127.0.0.1: the other container of the instance, and nobody else.
      command = ["/bin/sh", "-c"]
      args = [join(" ", [
        # The password goes from its variable into another one, and stands on no command line.
        "export MLFLOW_BACKEND_STORE_URI=\"postgresql+psycopg2://mlflow:$DATABASE_PASSWORD@$DATABASE_HOST/mlflow?sslmode=verify-full&sslrootcert=/secrets/database-ca/ca.pem\";",
        "unset DATABASE_PASSWORD;",
        "exec mlflow server --host 127.0.0.1 --port 5000 --workers 2 --serve-artifacts --artifacts-destination \"$ARTIFACTS\"",
      ])]

      env {
        name  = "DATABASE_HOST"
        value = var.database.host
      }
      env {
        name  = "ARTIFACTS"
        value = var.artifacts
      }
      env {
        name  = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
        value = "false"
      }
      env {
        name  = "MLFLOW_TELEMETRY_DISABLED"
        value = "1"
      }
      env {
        name = "DATABASE_PASSWORD"
        value_source {
          secret_key_ref {
            secret = var.database.secrets.mlflow
            # By number: another password is another revision. What runs would keep the one that it was started with.
            version = var.database.versions.mlflow
          }
        }
      }
      resources {
        limits            = { cpu = "1", memory = "2Gi" }
        startup_cpu_boost = true
        cpu_idle          = false
      }
      startup_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 18
        http_get {
          path = "/health"
          port = 5000
        }
      }
      volume_mounts {
        name       = "database-ca"
        mount_path = "/secrets/database-ca"
      }
    }

    volumes {
      name = "config"
      secret {
        secret = google_secret_manager_secret.config.secret_id
        items {
          path = "trackgate.toml"
          # By number: another configuration is another revision.
          version = google_secret_manager_secret_version.config.version
        }
      }
    }
    volumes {
      name = "database-password"
      secret {
        secret = var.database.secrets.trackgate
        items {
          path    = "password"
          version = var.database.versions.trackgate
        }
      }
    }
    volumes {
      name = "database-ca"
      secret {
        secret = google_secret_manager_secret.ca.secret_id
        items {
          path    = "ca.pem"
          version = google_secret_manager_secret_version.ca.version
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.this]
}

# IAP's own agent, which calls the service for whoever passed; nobody else may.
resource "google_project_service_identity" "iap" {
  provider = google-beta

  project = var.project
  service = "iap.googleapis.com"
}

resource "google_cloud_run_v2_service_iam_member" "iap" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_project_service_identity.iap.email}"
}

# A name of one's own, with a certificate of Google's making. IAP stands before every way into the service, so before this one.
resource "google_cloud_run_domain_mapping" "this" {
  count = var.domain == null ? 0 : 1

  project  = var.project
  location = var.region
  name     = var.domain

  metadata {
    namespace = var.project
  }
  spec {
    route_name = google_cloud_run_v2_service.this.name
  }
}

resource "google_dns_record_set" "this" {
  count = var.domain == null || var.dns_zone == null ? 0 : 1

  project      = var.project
  managed_zone = var.dns_zone
  name         = "${var.domain}."
  type         = "CNAME"
  ttl          = 300
  # Of every mapped name below a domain, says Cloud Run.
  rrdatas = ["ghs.googlehosted.com."]
}

resource "google_iap_web_cloud_run_service_iam_member" "this" {
  for_each = toset(var.members)

  project                = var.project
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.this.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

# Google's own OAuth client is for browsers alone: IAP takes ID tokens of programs where they are made out for one of these.
resource "google_iap_settings" "this" {
  count = length(var.programmatic_clients) == 0 ? 0 : 1

  name = "projects/${var.project_number}/iap_web/cloud_run-${var.region}/services/${google_cloud_run_v2_service.this.name}"

  access_settings {
    oauth_settings {
      programmatic_clients = var.programmatic_clients
    }
  }
}
