# What must be true of this example's security, as conditions. Run with mocked providers: nothing is asked of Google.

mock_provider "google" {
  source = "../../testing/google"
}

mock_provider "random" {}

mock_provider "google-beta" {
  source = "../../testing/google-beta"
}

variables {
  project        = "demo-project"
  members        = ["domain:example.com"]
  hosted_domains = ["example.com"]
  admins         = ["ada@example.com"]
  images = {
    trackgate = "europe-docker.pkg.dev/demo-project/images/trackgate@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    mlflow    = "europe-docker.pkg.dev/demo-project/images/mlflow@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }
}

run "iap_stands_in_front_and_calls_alone" {
  assert {
    condition     = module.service.service.iap_enabled && module.service.service.invoker_iam_disabled == false
    error_message = "Identity-Aware Proxy is off, or anybody may invoke the service."
  }
  assert {
    condition = toset([for grant in module.service.iam : "${grant.role} ${grant.member}" if !startswith(grant.on, "secret ")]) == toset([
      "roles/run.invoker serviceAccount:service-123456789@gcp-sa-iap.iam.gserviceaccount.com",
      "roles/iap.httpsResourceAccessor domain:example.com",
    ])
    error_message = "Others than IAP invoke the service, or others than `members` come in."
  }
  assert {
    condition     = output.iap_audience == "/projects/123456789/locations/europe-west1/services/trackgate"
    error_message = "The audience is not the service's."
  }
  assert {
    condition     = strcontains(module.service.config, "audiences = [\"/projects/123456789/locations/europe-west1/services/trackgate\"]\nlistener = \"plain\"") && strcontains(module.service.config, "public_url = \"https://trackgate-123456789.europe-west1.run.app\"")
    error_message = "Trackgate would not ask for IAP's assertion, or takes itself for somebody else."
  }
}

run "a_name_of_ones_own_leads_to_the_service_and_no_further" {
  command = plan
  variables {
    domain   = "mlflow.example.com"
    dns_zone = "example-com"
  }
  assert {
    condition     = output.url == "https://mlflow.example.com" && strcontains(module.service.config, "public_url = \"https://mlflow.example.com\"")
    error_message = "Trackgate takes itself for somebody else."
  }
  assert {
    condition     = module.service.name.mapped == ["mlflow.example.com to trackgate"] && module.service.name.records == ["mlflow.example.com. CNAME ghs.googlehosted.com. in example-com"]
    error_message = "The name leads elsewhere, or has no certificate."
  }
}

run "without_a_name_of_ones_own_there_is_none" {
  command = plan
  assert {
    condition     = length(module.service.name.mapped) == 0 && length(module.service.name.records) == 0
    error_message = "A name is mapped that nobody asked for."
  }
}

run "an_address_is_no_name" {
  command = plan
  variables {
    domain = "https://mlflow.example.com"
  }
  expect_failures = [var.domain]
}

run "the_service_waits_and_streams" {
  assert {
    condition     = module.service.service.template[0].timeout == "3600s"
    error_message = "Requests end before large artifacts do."
  }
  assert {
    condition     = module.service.service.template[0].containers[0].ports[0].name == "h2c" && module.service.service.template[0].containers[0].ports[0].container_port == 8080 && length(module.service.service.template[0].containers[1].ports) == 0
    error_message = "Requests of more than 32 MiB would fail, or MLflow takes requests itself."
  }
  assert {
    condition     = toset(module.service.service.template[0].containers[0].depends_on) == toset(["mlflow"]) && length(module.service.service.template[0].containers[1].startup_probe) == 1
    error_message = "Trackgate starts before MLflow answers."
  }
  assert {
    condition     = strcontains(join(" ", module.service.service.template[0].containers[1].args), "--host 127.0.0.1 ")
    error_message = "MLflow listens on more than loopback."
  }
  assert {
    condition     = module.service.service.template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY" && module.service.service.template[0].vpc_access[0].network_interfaces[0].network == module.network.network.id
    error_message = "The service does not reach the database's private address."
  }
  assert {
    condition     = module.service.service.deletion_protection && module.service.service.template[0].service_account == module.service.service_account
    error_message = "The service can be deleted by mistake, or runs as another service account."
  }
}

run "another_password_or_configuration_is_another_revision" {
  assert {
    condition = one([for env in module.service.service.template[0].containers[1].env : env.value_source[0].secret_key_ref[0].version if env.name == "DATABASE_PASSWORD"]) == module.database.versions.mlflow && alltrue([
    for volume in module.service.service.template[0].volumes : can(tonumber(volume.secret[0].items[0].version))])
    error_message = "What runs would keep the password that it was started with, and could not connect anew."
  }
  assert {
    condition     = alltrue([for policy in module.service.kept_versions : policy == "ABANDON"]) && alltrue([for user in values(module.database.users) : user.secret_stays])
    error_message = "The running revision could not start new instances while another one is made."
  }
}

run "no_secret_stands_in_the_service" {
  assert {
    condition = alltrue(flatten([for container in module.service.service.template[0].containers : [for env in container.env :
    !can(regex("(?i)(password|secret|key|token)", env.name)) || length(env.value_source) == 1]]))
    error_message = "A variable holds a secret instead of naming one."
  }
  assert {
    condition     = !can(regex("(?i)(BEGIN [A-Z ]*PRIVATE KEY|password *= *\"|://[^/@\" ]+:[^@\" ]+@)", module.service.config))
    error_message = "A password or key stands in the configuration."
  }
  assert {
    condition     = strcontains(join(" ", module.service.service.template[0].containers[1].args), "://mlflow:$DATABASE_PASSWORD@$DATABASE_HOST/mlflow?sslmode=verify-full&sslrootcert=/secrets/database-ca/ca.pem\"; unset DATABASE_PASSWORD;")
    error_message = "MLflow's password stands on a command line, or it does not look whose the database's certificate is."
  }
  assert {
    condition = alltrue([for line in [
      "hosted_domains = [\"example.com\"]\n", "[audit]\nfile = \"-\"\n", "password_file = \"/secrets/database-password/password\"\nca_file = \"/secrets/database-ca/ca.pem\"\n", "url = \"http://127.0.0.1:5000\"\n",
    ] : strcontains(module.service.config, line)])
    error_message = "Another domain's people count, nothing is recorded, or the database is not verified."
  }
}

run "the_service_account_holds_what_it_needs_and_no_more" {
  assert {
    condition = toset([for grant in concat([for grant in module.service.iam : grant if startswith(grant.on, "secret ")], module.bucket.iam) : "${grant.role} on ${grant.on}"]) == toset([
      "roles/secretmanager.secretAccessor on secret trackgate-config",
      "roles/secretmanager.secretAccessor on secret trackgate-database-ca",
      "roles/secretmanager.secretAccessor on secret trackgate-database-mlflow",
      "roles/secretmanager.secretAccessor on secret trackgate-database-trackgate",
      "roles/storage.objectUser on bucket demo-project-trackgate-artifacts",
    ])
    error_message = "The service's account holds other roles than the listed ones."
  }
  assert {
    condition     = alltrue([for grant in concat([for grant in module.service.iam : grant if startswith(grant.on, "secret ")], module.bucket.iam) : grant.member == module.service.member])
    error_message = "A role went to somebody else."
  }
}

run "the_outputs_lead_on" {
  assert {
    condition     = output.url == "https://trackgate-123456789.europe-west1.run.app" && output.service_accounts.server == module.service.service_account && strcontains(output.next, "trackgate doctor --url \"${output.url}\"")
    error_message = "An output is missing or wrong."
  }
}

run "the_database_has_no_public_address_and_speaks_tls_alone" {
  assert {
    condition     = module.database.settings.settings.ip_configuration[0].ipv4_enabled == false
    error_message = "The database has a public address."
  }
  assert {
    condition     = length(module.database.settings.settings.ip_configuration[0].authorized_networks) == 0
    error_message = "The database lets networks in by address."
  }
  assert {
    condition     = module.database.settings.settings.ip_configuration[0].private_network == module.network.network.id
    error_message = "The database is not in our network."
  }
  assert {
    condition     = module.database.settings.settings.ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "The database accepts connections without TLS."
  }
  assert {
    condition     = module.database.settings.settings.ip_configuration[0].server_ca_mode == "GOOGLE_MANAGED_CAS_CA"
    error_message = "The server's certificate would not carry its name, and nobody could verify it in full."
  }
  assert {
    condition     = module.database.host == "abc.def.europe-west1.sql-psa.goog"
    error_message = "Clients connect to another name than the private one of the certificate."
  }
  assert {
    condition     = module.database.zone.visibility == "private" && module.database.zone.dns_name == "abc.def.europe-west1.sql-psa.goog."
    error_message = "The database's name is published, or is another one."
  }
}

run "the_database_outlives_mistakes" {
  assert {
    condition     = module.database.settings.deletion_protection && module.database.settings.settings.deletion_protection_enabled
    error_message = "The database can be deleted: protection must be Terraform's and the API's."
  }
  assert {
    condition     = module.database.settings.settings.backup_configuration[0].enabled && module.database.settings.settings.backup_configuration[0].point_in_time_recovery_enabled
    error_message = "No backups, or no recovery of a point in time."
  }
  assert {
    condition     = module.database.settings.settings.retain_backups_on_delete
    error_message = "Backups go with the instance."
  }
  assert {
    condition     = can(regex("^POSTGRES_(1[6-9]|[2-9][0-9])$", module.database.settings.version))
    error_message = "PostgreSQL 16 or later."
  }
}

run "each_program_has_a_database_and_a_user_of_its_own" {
  assert {
    condition     = module.database.databases == tolist(["mlflow", "trackgate"]) && toset(keys(module.database.users)) == toset(["mlflow", "trackgate"])
    error_message = "MLflow and Trackgate share a database or a user."
  }
  assert {
    condition     = alltrue([for user in values(module.database.users) : !user.password_in_state])
    error_message = "A password is an ordinary argument of its user, and stands in state once more."
  }
  assert {
    condition     = alltrue([for user in values(module.database.users) : !user.secret_in_state && user.secret_protected && user.password_length >= 32])
    error_message = "A secret stands in state, can be deleted by mistake, or is short."
  }
}

run "the_bucket_is_uniform_private_and_forgiving" {
  assert {
    condition     = module.bucket.bucket.uniform_bucket_level_access && module.bucket.bucket.public_access_prevention == "enforced"
    error_message = "Objects could have access lists of their own, or be public."
  }
  assert {
    condition     = module.bucket.bucket.versioning[0].enabled && module.bucket.bucket.soft_delete_policy[0].retention_duration_seconds >= 604800 && !module.bucket.bucket.force_destroy
    error_message = "What is overwritten or deleted is gone at once."
  }
  assert {
    condition = alltrue([for rule in module.bucket.bucket.lifecycle_rule :
    rule.action[0].type != "Delete" || (rule.condition[0].num_newer_versions == 3 && rule.condition[0].with_state == "ARCHIVED")])
    error_message = "Live artifacts would be deleted by a rule: MLflow's database points at them."
  }
  assert {
    condition     = anytrue([for rule in module.bucket.bucket.lifecycle_rule : rule.action[0].type == "AbortIncompleteMultipartUpload" && rule.condition[0].age == 7])
    error_message = "Uploads that were given up stay, and cost, for ever."
  }
  assert {
    condition     = length([for rule in module.bucket.bucket.lifecycle_rule : rule if rule.action[0].type == "SetStorageClass"]) == 0
    error_message = "Artifacts become dear to read without a word."
  }
}

run "old_artifacts_become_cheap_to_keep_where_asked" {
  command = plan
  variables {
    nearline_days = 90
  }
  assert {
    condition     = one([for rule in module.bucket.bucket.lifecycle_rule : "${rule.action[0].storage_class} after ${rule.condition[0].age} days" if rule.action[0].type == "SetStorageClass"]) == "NEARLINE after 90 days"
    error_message = "`nearline_days` does nothing."
  }
}

run "who_read_what_is_recorded" {
  assert {
    condition = alltrue([for service in ["storage.googleapis.com", "iap.googleapis.com", "cloudsql.googleapis.com"] :
    toset([for config in module.audit.configs[service].audit_log_config : config.log_type]) == toset(["DATA_READ", "DATA_WRITE"])])
    error_message = "Data Access audit logs of storage, IAP or Cloud SQL are not on."
  }
  assert {
    condition     = alltrue(flatten([for config in values(module.audit.configs) : [for each in config.audit_log_config : length(coalesce(each.exempted_members, [])) == 0]]))
    error_message = "Somebody is exempt from the audit logs."
  }
  assert {
    condition     = endswith(module.audit.sink.destination, "/buckets/${module.audit.log_bucket.bucket_id}") && module.audit.log_bucket.retention_days >= 365
    error_message = "Trackgate's audit stream is not kept for a year in a place of its own."
  }
  assert {
    condition     = module.audit.sink.filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"trackgate\" AND log_id(\"run.googleapis.com/stdout\") AND jsonPayload.decision:*"
    error_message = "The sink takes something else than Trackgate's audit stream."
  }
  assert {
    condition = alltrue([for name, value in { "cloudsql.enable_pgaudit" = "on", "pgaudit.log" = "ddl,role", log_connections = "on", log_disconnections = "on", log_statement = "ddl", log_min_duration_statement = "-1" } :
    one([for flag in module.database.settings.settings.database_flags : flag.value if flag.name == name]) == value])
    error_message = "The database does not log who came and who changed the schema, or logs statements, which carry data."
  }
}

run "the_network_is_our_own_and_seen" {
  assert {
    condition     = !module.network.network.auto_create_subnetworks && module.network.subnetwork.private_ip_google_access && length(module.network.subnetwork.log_config) == 1
    error_message = "A subnet of Google's making, without private access to Google, or without flow logs."
  }
}

# https://cloud.google.com/iap/docs/authentication-howto: with Google's own client, programs are refused but for these.
run "programs_come_in_by_the_clients_that_are_listed" {
  variables {
    programmatic_clients = ["1234-abc.apps.googleusercontent.com"]
  }
  assert {
    condition     = module.service.programs == [{ name = "projects/123456789/iap_web/cloud_run-europe-west1/services/trackgate", clients = tolist(["1234-abc.apps.googleusercontent.com"]) }]
    error_message = "IAP would refuse ID tokens of the listed clients, or take others': ${jsonencode(module.service.programs)}"
  }
  assert {
    condition     = output.iap_programs.clients == tolist(["1234-abc.apps.googleusercontent.com"]) && output.iap_programs.signed == "https://trackgate-123456789.europe-west1.run.app/*"
    error_message = "Nobody is told for whom a program's credential for IAP is made out."
  }
}

run "without_a_list_iap_is_left_as_it_is" {
  assert {
    condition     = length(module.service.programs) == 0 && length(output.iap_programs.clients) == 0
    error_message = "IAP's settings are touched where nobody asked."
  }
}

run "the_audience_of_assertions_is_no_client" {
  command = plan
  variables {
    programmatic_clients = ["/projects/123456789/global/backendServices/4567"]
  }
  expect_failures = [var.programmatic_clients]
}
