mock_provider "google" {
  source = "../../testing/google"
}

variables {
  project         = "demo-project"
  name            = "trackgate"
  zone            = "europe-west1-b"
  network         = "n"
  subnetwork      = "s"
  port            = 443
  config          = ""
  secrets         = {}
  artifacts       = "gs://b/mlruns"
  database        = { host = "h", ca = "c", secrets = { mlflow = "m", trackgate = "t" } }
  mlflow_packages = ["mlflow==3.17.2"]
  package         = { url = "https://example.com/trackgate.deb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
  ingress         = {}
}

run "without_a_word_nobody_comes_in_but_by_iaps_ssh" {
  assert {
    condition     = toset(keys(output.firewall)) == toset(["ssh"])
    error_message = "Somebody comes in."
  }
  assert {
    condition     = length([for grant in output.iam : grant if startswith(grant.on, "bucket ")]) == 0
    error_message = "A package from elsewhere needs no bucket."
  }
}

run "a_rule_for_everybody_is_refused" {
  command = plan
  variables {
    ingress = { https = { ports = [443], ranges = ["0.0.0.0/0"] } }
  }
  expect_failures = [var.ingress]
}

run "a_rule_for_everybody_in_halves_is_refused" {
  command = plan
  variables {
    ingress = { https = { ports = [443], ranges = ["0.0.0.0/1", "128.0.0.0/1"] } }
  }
  expect_failures = [var.ingress]
}

run "everybody_may_reach_port_80_only_with_443_apart" {
  command = plan
  variables {
    ingress = { https = { ports = [80, 443], ranges = ["0.0.0.0/0"] } }
  }
  expect_failures = [var.ingress]
}

run "a_way_to_mlflow_itself_is_refused" {
  command = plan
  variables {
    ingress = { mlflow = { ports = [5000], ranges = ["192.0.2.0/24"] } }
  }
  expect_failures = [var.ingress]
}

run "another_way_to_ssh_is_refused" {
  command = plan
  variables {
    ingress = { ssh = { ports = [22], ranges = ["192.0.2.0/24"] } }
  }
  expect_failures = [var.ingress]
}

run "a_package_over_plain_http_is_refused" {
  command = plan
  variables {
    package = { url = "http://example.com/trackgate.deb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
  }
  expect_failures = [var.package]
}

run "a_package_without_its_hash_is_refused" {
  command = plan
  variables {
    package = { url = "https://example.com/trackgate.deb", sha256 = "" }
  }
  expect_failures = [var.package]
}

run "mlflow_without_a_version_is_refused" {
  command = plan
  variables {
    mlflow_packages = ["mlflow"]
  }
  expect_failures = [var.mlflow_packages]
}

run "options_for_pip_are_refused" {
  command = plan
  variables {
    mlflow_packages = ["mlflow==3.17.2", "--index-url=https://example.com"]
  }
  expect_failures = [var.mlflow_packages]
}

run "a_secret_itself_is_no_id_of_one" {
  command = plan
  variables {
    secrets = { "secrets/database-password" = "-----BEGIN PRIVATE KEY-----" }
  }
  expect_failures = [var.secrets]
}
