mock_provider "google" {
  source = "../../testing/google"
}

mock_provider "google-beta" {
  source = "../../testing/google-beta"
}

variables {
  project        = "demo-project"
  project_number = "1"
  name           = "trackgate"
  region         = "europe-west1"
  network        = "n"
  subnetwork     = "s"
  config         = ""
  artifacts      = "gs://b/mlruns"
  database       = { host = "h", ca = "c", secrets = { mlflow = "m", trackgate = "t" }, versions = { mlflow = "1", trackgate = "1" } }
  members        = ["domain:example.com"]
  images         = { trackgate = "t@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", mlflow = "m@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "everybody_is_no_member" {
  command = plan
  variables {
    members = ["allUsers"]
  }
  expect_failures = [var.members]
}

run "images_without_a_digest_are_refused" {
  command = plan
  variables {
    images = { trackgate = "trackgate:latest", mlflow = "mlflow:latest" }
  }
  expect_failures = [var.images]
}
