mock_provider "google" {
  source = "../../testing/google"
}

variables {
  project  = "demo-project"
  name     = "trackgate"
  location = "europe-west1"
  filter   = "x"
}

run "a_sink_for_everything_is_refused" {
  command = plan
  variables {
    filter = " "
  }
  expect_failures = [var.filter]
}

run "a_short_memory_is_refused" {
  command = plan
  variables {
    retention_days = 7
  }
  expect_failures = [var.retention_days]
}
