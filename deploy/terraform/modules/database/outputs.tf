output "host" {
  description = "The name to connect to: it stands in the server's certificate."
  value       = local.host
}

output "address" {
  description = "Where that name leads: for rules about addresses. Connect to the name."
  value       = google_sql_database_instance.this.private_ip_address
}

output "ca" {
  description = "Who signed that certificate; public."
  value       = join("\n", [for ca in google_sql_database_instance.this.server_ca_cert : trimspace(ca.cert)])
}

output "instance" {
  value = google_sql_database_instance.this.name
}

output "secrets" {
  description = "Secret ids of the passwords, by user."
  value       = { for user, secret in google_secret_manager_secret.password : user => secret.secret_id }
  # Read only once there is something in them.
  depends_on = [google_secret_manager_secret_version.password, google_sql_user.this, google_sql_database.this]
}

output "versions" {
  description = "Which version of those secrets is the password now: for who has to be told when there is another one."
  value       = { for user, version in google_secret_manager_secret_version.password : user => version.version }
  # Named only once it opens the database.
  depends_on = [google_sql_user.this]
}

output "settings" {
  value = {
    version             = google_sql_database_instance.this.database_version
    deletion_protection = google_sql_database_instance.this.deletion_protection
    settings            = google_sql_database_instance.this.settings[0]
  }
}

output "users" {
  value = { for name, user in google_sql_user.this : name => {
    password_in_state = user.password != null
    secret_in_state   = nonsensitive(google_secret_manager_secret_version.password[name].secret_data != null)
    secret_stays      = google_secret_manager_secret_version.password[name].deletion_policy == "ABANDON"
    secret_protected  = google_secret_manager_secret.password[name].deletion_protection
    password_length   = random_password.this[name].length
  } }
}

output "databases" {
  value = sort([for database in google_sql_database.this : database.name])
}

output "zone" {
  value = google_dns_managed_zone.database
}
