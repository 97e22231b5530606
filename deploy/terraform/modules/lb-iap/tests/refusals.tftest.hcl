mock_provider "google" {
  source = "../../testing/google"
}

variables {
  project        = "demo-project"
  project_number = "1"
  name           = "trackgate"
  domain         = "mlflow.example.com"
  instance       = { self_link = "https://i", zone = "z" }
  port           = 8443
}

run "everybody_is_no_member" {
  command = plan
  variables {
    members = ["allUsers"]
  }
  expect_failures = [var.members]
}

run "everybody_with_an_account_is_no_member" {
  command = plan
  variables {
    members = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.members]
}
