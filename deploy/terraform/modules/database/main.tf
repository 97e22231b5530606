# Names of instances stay taken for a week after a deletion.
resource "random_id" "suffix" {
  byte_length = 2
}

resource "google_sql_database_instance" "this" {
  # checkov:skip=CKV_GCP_6:ENCRYPTED_ONLY refuses whatever is not TLS; the check knows client certificates alone
  # checkov:skip=CKV_GCP_79:Which version is newest changes; 16 and later are accepted (`database_version`)
  # checkov:skip=CKV2_GCP_13:A line for each statement; `log_min_duration_statement` and query insights tell of slow ones
  project             = var.project
  region              = var.region
  name                = "${var.name}-${random_id.suffix.hex}"
  database_version    = var.database_version
  deletion_protection = var.deletion_protection

  settings {
    edition                     = "ENTERPRISE"
    tier                        = var.tier
    availability_type           = var.high_availability ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.disk_gb
    disk_autoresize             = true
    deletion_protection_enabled = var.deletion_protection
    retain_backups_on_delete    = true

    ip_configuration {
      ipv4_enabled    = false
      private_network = var.network
      ssl_mode        = "ENCRYPTED_ONLY"
      # Its certificates name the instance (`dns_names`), so that clients verify in full. The internal CA's do not.
      server_ca_mode = "GOOGLE_MANAGED_CAS_CA"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
      backup_retention_settings {
        retained_backups = var.backups
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    # Who connected, what changed the schema, what waited. Statements about data stay out of logs: they carry it.
    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_hostname"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }
    database_flags {
      name  = "log_min_messages"
      value = "error"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
    database_flags {
      name  = "log_temp_files"
      value = "0"
    }
    database_flags {
      name  = "pgaudit.log"
      value = "ddl,role"
    }
  }

  lifecycle {
    precondition {
      condition     = var.services_connection != ""
      error_message = "The private address needs the peering of the network module."
    }
    # The disk grows by itself.
    ignore_changes = [settings[0].disk_size]
  }
}

locals {
  users = toset(["mlflow", "trackgate"])

  # The name in the server's certificate. `dns_name` is what older API versions call it.
  psa_names = [for entry in google_sql_database_instance.this.dns_names : entry.name if entry.connection_type == "PRIVATE_SERVICES_ACCESS"]
  host      = trimsuffix(length(local.psa_names) > 0 ? local.psa_names[0] : google_sql_database_instance.this.dns_name, ".")
}

resource "google_sql_database" "this" {
  for_each = local.users

  project         = var.project
  instance        = google_sql_database_instance.this.name
  name            = each.value
  deletion_policy = "ABANDON"
}

# The one place in Terraform's state where passwords stand; the two resources below take them write-only. Letters and
# digits alone: they stand in URLs.
resource "random_password" "this" {
  for_each = local.users

  length  = 40
  special = false
  keepers = { generation = var.password_generation }
}

resource "google_sql_user" "this" {
  for_each = local.users

  project             = var.project
  instance            = google_sql_database_instance.this.name
  name                = each.value
  password_wo         = random_password.this[each.value].result
  password_wo_version = var.password_generation
  deletion_policy     = "ABANDON"
}

resource "google_secret_manager_secret" "password" {
  for_each = local.users

  project             = var.project
  secret_id           = "${var.name}-database-${each.value}"
  deletion_protection = var.deletion_protection

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_version" "password" {
  for_each = local.users

  secret                 = google_secret_manager_secret.password[each.value].id
  secret_data_wo         = random_password.this[each.value].result
  secret_data_wo_version = var.password_generation
  # Another one takes its place, and this one stays readable: a revision of Cloud Run that names it still starts. It opens
  # nothing any more.
  deletion_policy = "ABANDON"
}

# The instance's name, in our network, is its private address.
resource "google_dns_managed_zone" "database" {
  project     = var.project
  name        = google_sql_database_instance.this.name
  dns_name    = "${local.host}."
  description = "The database's name, which its certificate carries"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = var.network
    }
  }
}

resource "google_dns_record_set" "database" {
  project      = var.project
  managed_zone = google_dns_managed_zone.database.name
  name         = "${local.host}."
  type         = "A"
  ttl          = 60
  rrdatas      = [google_sql_database_instance.this.private_ip_address]
}
