mock_provider "google" {
  source = "../../testing/google"
}

mock_provider "random" {}

variables {
  project             = "demo-project"
  name                = "trackgate"
  region              = "europe-west1"
  network             = "n"
  services_connection = "c"
}

run "an_old_postgresql_is_refused" {
  command = plan
  variables {
    database_version = "POSTGRES_15"
  }
  expect_failures = [var.database_version]
}
