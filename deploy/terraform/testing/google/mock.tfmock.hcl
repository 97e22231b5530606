# What Google would answer, as far as the tests look at it.

mock_resource "google_service_account" {
  defaults = {
    email  = "server@demo-project.iam.gserviceaccount.com"
    member = "serviceAccount:server@demo-project.iam.gserviceaccount.com"
    name   = "projects/demo-project/serviceAccounts/server@demo-project.iam.gserviceaccount.com"
  }
}

mock_resource "google_compute_address" {
  defaults = { address = "203.0.113.7" }
}

mock_resource "google_compute_global_address" {
  defaults = { address = "203.0.113.8" }
}

mock_resource "google_compute_backend_service" {
  defaults = { generated_id = 4567 }
}

mock_resource "google_sql_database_instance" {
  defaults = {
    private_ip_address = "10.20.0.3"
    dns_name           = ""
    dns_names = [
      { name = "abc.def.europe-west1.sql.goog.", connection_type = "PUBLIC", dns_scope = "INSTANCE" },
      { name = "abc.def.europe-west1.sql-psa.goog.", connection_type = "PRIVATE_SERVICES_ACCESS", dns_scope = "INSTANCE" },
    ]
    server_ca_cert = [{
      cert             = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
      common_name      = "ca"
      create_time      = ""
      expiration_time  = ""
      sha1_fingerprint = ""
    }]
  }
}

mock_resource "google_secret_manager_secret_version" {
  defaults = { version = "1" }
}

mock_resource "google_certificate_manager_dns_authorization" {
  defaults = {
    dns_resource_record = [{ name = "_acme-challenge.mlflow.example.com.", type = "CNAME", data = "x.authorize.certificatemanager.goog." }]
  }
}

mock_data "google_project" {
  defaults = { number = "123456789" }
}
