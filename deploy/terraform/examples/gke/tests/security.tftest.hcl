# What must be true of this example's security, as conditions. Run with mocked providers: nothing is asked of Google.

mock_provider "google" {
  source = "../../testing/google"
}

mock_provider "random" {}

variables {
  project = "demo-project"
  domain  = "mlflow.example.com"
  members = ["domain:example.com"]

  hosted_domains = ["example.com"]
  admins         = ["ada@example.com"]
  images = {
    trackgate = "europe-docker.pkg.dev/demo-project/images/trackgate@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    mlflow    = "europe-docker.pkg.dev/demo-project/images/mlflow@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }
}

# deploy/check/helm renders the chart with that file, and Trackgate reads what comes out.
run "health_is_asked_by_googles_fronts_and_nobody_else" {
  assert {
    condition     = toset(google_compute_firewall.health.source_ranges) == toset(["130.211.0.0/22", "35.191.0.0/16"]) && one(google_compute_firewall.health.allow).ports == tolist(["9477"])
    error_message = "The load balancer finds no pod healthy, or others see what is for it."
  }
  assert {
    condition     = toset(google_compute_firewall.health.target_service_accounts) == toset([google_service_account.nodes.email]) && google_compute_firewall.health.direction == "INGRESS" && length(google_compute_firewall.health.log_config) == 1
    error_message = "The rule aims at something else than the nodes, or is not logged."
  }
}

run "the_chart_is_told_all_of_it_and_no_secret" {
  assert {
    condition     = yamldecode(output.values) == yamldecode(file("${path.module}/tests/values.yaml"))
    error_message = "The chart would be told something else than tests/values.yaml: ${output.values}"
  }
  assert {
    condition     = yamldecode(output.values).iap.enabled && yamldecode(output.values).iap.audiences == ["/projects/0/global/backendServices/0"]
    error_message = "Before the backend service stands, somebody might come in."
  }
}

run "other_passwords_make_other_pods" {
  variables {
    password_generation = 2
  }
  assert {
    condition     = yamldecode(output.values).podAnnotations["trackgate/password-generation"] == "2"
    error_message = "Pods would go on with the passwords of before."
  }
}

run "images_without_a_digest_are_refused" {
  command = plan
  variables {
    images = { trackgate = "trackgate:latest", mlflow = "mlflow:latest" }
  }
  expect_failures = [var.images]
}

run "the_cluster_is_private" {
  assert {
    condition     = google_container_cluster.this.enable_autopilot && google_container_cluster.this.private_cluster_config[0].enable_private_nodes
    error_message = "Nodes have addresses of their own, or are ours to harden."
  }
  assert {
    condition     = google_container_cluster.this.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled == false
    error_message = "The control plane has an address that anybody reaches."
  }
  assert {
    condition     = google_container_cluster.this.deletion_protection && google_container_cluster.this.network == module.network.network.id
    error_message = "The cluster can be deleted by mistake, or stands in another network."
  }
  assert {
    condition     = google_container_cluster.this.cluster_autoscaling[0].auto_provisioning_defaults[0].service_account == google_service_account.nodes.email
    error_message = "Nodes run as the project's default service account, which may do nearly everything."
  }
}

run "one_kubernetes_account_of_one_namespace_is_the_server" {
  assert {
    condition     = toset([for grant in module.identity.iam : "${grant.role} ${grant.member}" if startswith(grant.on, "service account ")]) == toset(["roles/iam.workloadIdentityUser serviceAccount:demo-project.svc.id.goog[trackgate/trackgate]"])
    error_message = "Other pods may act as the server."
  }
  assert {
    condition     = toset([for grant in concat([for grant in module.identity.iam : grant if !startswith(grant.on, "service account ")], module.bucket.iam) : "${grant.role} on ${grant.on}"]) == toset(["roles/storage.objectUser on bucket demo-project-trackgate-artifacts"])
    error_message = "The server's account holds other roles than the listed ones."
  }
  assert {
    condition     = toset([for grant in google_project_iam_member.nodes : grant.role]) == toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])
    error_message = "Nodes hold other roles than the listed ones."
  }
}

run "the_front_speaks_modern_tls" {
  assert {
    condition     = google_compute_ssl_policy.this.profile == "MODERN" && google_compute_ssl_policy.this.min_tls_version == "TLS_1_2"
    error_message = "Old TLS is spoken."
  }
  assert {
    condition     = google_certificate_manager_certificate_map_entry.this.hostname == "mlflow.example.com" && google_certificate_manager_certificate.this.managed[0].domains == tolist(["mlflow.example.com"])
    error_message = "The certificate is of another name."
  }
}

run "the_name_leads_to_the_gateway_and_proves_itself" {
  variables {
    dns_zone = "example-com"
  }
  assert {
    condition = toset([for record in google_dns_record_set.this : "${record.name} ${record.type} ${one(record.rrdatas)} in ${record.managed_zone}"]) == toset([
      "mlflow.example.com. A 203.0.113.8 in example-com",
      "_acme-challenge.mlflow.example.com. CNAME x.authorize.certificatemanager.goog. in example-com",
    ])
    error_message = "The name leads elsewhere, or its certificate cannot be made."
  }
}

run "the_audience_is_told_once_the_gateway_stands" {
  variables {
    backend_service = "gkegw1-x"
  }
  override_data {
    target = data.google_compute_backend_service.gateway
    values = { generated_id = 4567 }
  }
  assert {
    condition     = output.iap_audience == "/projects/123456789/global/backendServices/4567" && yamldecode(output.values).iap.audiences == [output.iap_audience]
    error_message = "The audience is not the backend service's."
  }
  assert {
    condition     = [for grant in values(google_iap_web_backend_service_iam_member.this) : "${grant.role} ${grant.member} on ${grant.web_backend_service}"] == ["roles/iap.httpsResourceAccessor domain:example.com on gkegw1-x"]
    error_message = "Others than `members` come in, or with another role."
  }
}

run "the_outputs_lead_on" {
  assert {
    condition     = output.url == "https://mlflow.example.com" && output.address == "203.0.113.8" && output.iap_audience == null && output.service_accounts.server == module.identity.service_account && strcontains(output.next, "./finish") && strcontains(output.next, "trackgate doctor --url \"https://mlflow.example.com\"")
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
    condition     = module.audit.sink.filter == "resource.type=\"k8s_container\" AND resource.labels.namespace_name=\"trackgate\" AND log_id(\"stdout\") AND jsonPayload.decision:*"
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
    backend_service      = "gkegw1-x"
  }
  override_data {
    target = data.google_compute_backend_service.gateway
    values = { generated_id = 4567 }
  }
  assert {
    condition     = [for settings in google_iap_settings.this : { name = settings.name, clients = settings.access_settings[0].oauth_settings[0].programmatic_clients }] == [{ name = "projects/123456789/iap_web/compute/services/gkegw1-x", clients = tolist(["1234-abc.apps.googleusercontent.com"]) }]
    error_message = "IAP would refuse ID tokens of the listed clients, or take others': ${jsonencode([for settings in google_iap_settings.this : { name = settings.name, clients = settings.access_settings[0].oauth_settings[0].programmatic_clients }])}"
  }
  assert {
    condition     = output.iap_programs.clients == tolist(["1234-abc.apps.googleusercontent.com"]) && output.iap_programs.signed == "https://mlflow.example.com/*"
    error_message = "Nobody is told for whom a program's credential for IAP is made out."
  }
}

run "without_a_list_iap_is_left_as_it_is" {
  assert {
    condition     = length([for settings in google_iap_settings.this : { name = settings.name, clients = settings.access_settings[0].oauth_settings[0].programmatic_clients }]) == 0 && length(output.iap_programs.clients) == 0
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
