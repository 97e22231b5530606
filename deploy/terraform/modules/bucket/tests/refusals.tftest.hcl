mock_provider "google" {
  source = "../../testing/google"
}

variables {
  project  = "demo-project"
  name     = "b"
  location = "europe-west1"
}

run "people_hold_nothing_on_the_bucket" {
  command = plan
  variables {
    writers = { ada = "user:ada@example.com" }
  }
  expect_failures = [var.writers]
}

run "what_is_deleted_stays_a_week" {
  command = plan
  variables {
    soft_delete_days = 0
  }
  expect_failures = [var.soft_delete_days]
}
