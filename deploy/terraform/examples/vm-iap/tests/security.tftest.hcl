# What must be true of this example's security, as conditions. Run with mocked providers: nothing is asked of Google.

mock_provider "google" {
  source = "../../testing/google"
}

mock_provider "random" {}

variables {
  project        = "demo-project"
  domain         = "mlflow.example.com"
  members        = ["domain:example.com"]
  hosted_domains = ["example.com"]
  package        = { url = "gs://demo-install/trackgate_1.0.0_amd64.deb", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
  admins         = ["ada@example.com"]
}

run "the_machine_is_reached_by_googles_fronts_alone" {
  assert {
    condition     = toset(keys(module.vm.firewall)) == toset(["ssh", "front", "health"])
    error_message = "There are other firewall rules than for SSH and Google's fronts."
  }
  assert {
    condition     = alltrue([for name in ["front", "health"] : toset(module.vm.firewall[name].source_ranges) == toset(["130.211.0.0/22", "35.191.0.0/16"])])
    error_message = "Others than Google's fronts come in."
  }
  assert {
    condition     = one(module.vm.firewall["front"].allow).ports == tolist(["8443"]) && one(module.vm.firewall["health"].allow).ports == tolist(["9477"])
    error_message = "Other ports are open."
  }
  assert {
    condition     = length(module.vm.instance.network_interface[0].access_config) == 0
    error_message = "The machine has an external address."
  }
}

run "iap_stands_in_front" {
  assert {
    condition     = one(module.lb.backend.iap).enabled && try(one(module.lb.backend.iap).oauth2_client_id, null) == null
    error_message = "Identity-Aware Proxy is off, or with an OAuth client that Google no longer makes."
  }
  assert {
    condition     = toset([for grant in module.lb.iam : "${grant.role} ${grant.member}"]) == toset(["roles/iap.httpsResourceAccessor domain:example.com"])
    error_message = "Others than `members` come in, or with another role."
  }
  assert {
    condition     = output.iap_audience == "/projects/123456789/global/backendServices/4567" && google_compute_project_metadata_item.audience.value == output.iap_audience
    error_message = "The audience is not the backend service's, or the machine reads another one."
  }
  assert {
    condition     = module.vm.instance.metadata["trackgate-iap-audience"] == google_compute_project_metadata_item.audience.key && strcontains(module.vm.instance.metadata["trackgate-config"], "[iap]\naudiences = [\"@IAP_AUDIENCE@\"]\nlistener = \"https\"")
    error_message = "Trackgate would not ask for IAP's assertion on the listener that the front reaches."
  }
}

run "the_load_balancer_follows_the_machine_into_another_zone" {
  variables {
    zone = "europe-west1-c"
  }
  assert {
    condition     = module.lb.group.zone == "europe-west1-c" && module.vm.instance.zone == "europe-west1-c" && module.lb.group.instances == toset([module.vm.instance.self_link])
    error_message = "The group is not where the machine is, or without it."
  }
  assert {
    condition     = one(module.lb.backend.backend).group == module.lb.group.id && one(module.lb.group.named_port).port == 8443
    error_message = "The load balancer leads elsewhere."
  }
}

run "the_front_speaks_modern_tls_and_waits_for_long_answers" {
  assert {
    condition     = module.lb.front.ssl_policy.profile == "MODERN" && module.lb.front.ssl_policy.min_tls_version == "TLS_1_2" && module.lb.front.proxy.ssl_policy == module.lb.front.ssl_policy.id
    error_message = "Old TLS is spoken."
  }
  assert {
    condition     = module.lb.backend.protocol == "HTTPS" && module.lb.backend.timeout_sec == 3600 && module.lb.backend.load_balancing_scheme == "EXTERNAL_MANAGED"
    error_message = "Plain text to the machine, artifacts cut off after half a minute, or another kind of load balancer."
  }
  assert {
    condition     = alltrue([for rule in module.lb.front.rules : rule.load_balancing_scheme == "EXTERNAL_MANAGED"]) && toset([for rule in module.lb.front.rules : rule.port_range]) == toset(["443", "80"])
    error_message = "Other ports, or another kind of load balancer."
  }
  assert {
    condition     = one(module.lb.backend.log_config).enable && one(module.lb.backend.log_config).sample_rate == 1
    error_message = "Requests are not logged."
  }
  assert {
    condition     = one(module.lb.front.redirect.default_url_redirect).https_redirect && module.lb.front.certificate.managed[0].domains == tolist(["mlflow.example.com"])
    error_message = "Port 80 does something else than to lead to 443, or the certificate is of another name."
  }
  assert {
    condition     = one(module.lb.front.health.http_health_check).port == 9477 && one(module.lb.front.health.http_health_check).request_path == "/readyz"
    error_message = "Health is asked where people come in."
  }
  assert {
    condition     = strcontains(module.vm.instance.metadata["trackgate-config"], "keep_alive = \"620s\"") && strcontains(module.vm.instance.metadata["trackgate-config"], "trusted_proxies = [\"130.211.0.0/22\",\"35.191.0.0/16\",\"203.0.113.8\"]")
    error_message = "Trackgate would close connections before the front does, or take the front for the client."
  }
}

run "the_service_account_holds_what_it_needs_and_no_more" {
  assert {
    condition = toset([for grant in concat(module.vm.iam, module.bucket.iam) : "${grant.role} on ${grant.on}"]) == toset([
      "roles/logging.logWriter on project demo-project",
      "roles/monitoring.metricWriter on project demo-project",
      "roles/secretmanager.secretAccessor on secret trackgate-database-mlflow",
      "roles/secretmanager.secretAccessor on secret trackgate-database-trackgate",
      "roles/storage.objectViewer on bucket demo-install",
      "roles/storage.objectUser on bucket demo-project-trackgate-artifacts",
    ])
    error_message = "The machine's service account holds other roles than the listed ones."
  }
  assert {
    condition     = alltrue([for grant in concat(module.vm.iam, module.bucket.iam) : grant.member == module.vm.member])
    error_message = "A role went to somebody else."
  }
}

run "the_machine_gets_out_by_nat_and_the_outputs_lead_on" {
  assert {
    condition     = length(module.network.nat) == 1
    error_message = "Without an address and without Cloud NAT the machine cannot fetch packages."
  }
  assert {
    condition     = output.url == "https://mlflow.example.com" && output.address == "203.0.113.8" && output.service_accounts.server == module.vm.service_account && strcontains(output.next, "trackgate doctor --url \"https://mlflow.example.com\"")
    error_message = "An output is missing or wrong."
  }
}

run "the_name_leads_to_the_load_balancer" {
  variables {
    dns_zone = "example-com"
  }
  assert {
    condition     = module.lb.records == ["mlflow.example.com. A 203.0.113.8 in example-com"]
    error_message = "The name leads elsewhere."
  }
}

run "trackgate_and_mlflow_are_set_up_as_they_should" {
  assert {
    condition = alltrue([for line in [
      "https = \"[::]:8443\"\n", "url = \"unix:/run/mlflow/mlflow.sock\"\n", "hosted_domains = [\"example.com\"]\n",
      "[audit]\nfile = \"/var/log/trackgate/audit.jsonl\"\n", "password_file = \"credential:secret_database-password\"\nca_file = \"/etc/trackgate/database-ca.pem\"\n",
    ] : strcontains(module.vm.instance.metadata["trackgate-config"], line)])
    error_message = "MLflow is on a port, another domain's people count, nothing is recorded, or the database is not verified."
  }
  assert {
    condition     = length(regexall("sslmode=", module.vm.instance.metadata["startup-script"])) == 1 && strcontains(module.vm.instance.metadata["startup-script"], "?sslmode=verify-full&sslrootcert=/etc/mlflow/database-ca.pem")
    error_message = "MLflow does not look whose the database's certificate is."
  }
}

run "ssh_comes_through_iap_and_nothing_from_everywhere" {
  assert {
    condition     = toset(module.vm.firewall["ssh"].source_ranges) == toset(["35.235.240.0/20"])
    error_message = "SSH is open to more than IAP's TCP forwarding."
  }
  assert {
    condition     = alltrue(flatten([for rule in values(module.vm.firewall) : [for range in rule.source_ranges : tonumber(split("/", range)[1]) >= 8]]))
    error_message = "A firewall rule is open to everybody, or to half of it."
  }
  assert {
    condition     = alltrue([for rule in values(module.vm.firewall) : toset(rule.target_service_accounts) == toset([module.vm.service_account]) && length(coalesce(rule.target_tags, [])) == 0 && rule.direction == "INGRESS"])
    error_message = "A firewall rule aims at something else than the machine's service account."
  }
  assert {
    condition     = alltrue([for rule in values(module.vm.firewall) : length(rule.log_config) == 1])
    error_message = "A firewall rule is not logged."
  }
}

run "the_machine_is_shielded_and_takes_no_keys_of_the_project" {
  assert {
    condition = alltrue([for config in module.vm.instance.shielded_instance_config :
    config.enable_secure_boot && config.enable_vtpm && config.enable_integrity_monitoring]) && length(module.vm.instance.shielded_instance_config) == 1
    error_message = "The machine is not shielded."
  }
  assert {
    condition     = module.vm.instance.metadata["enable-oslogin"] == "TRUE" && module.vm.instance.metadata["block-project-ssh-keys"] == "TRUE" && module.vm.instance.metadata["serial-port-enable"] == "FALSE"
    error_message = "Others than IAM decide who logs in."
  }
  assert {
    condition     = module.vm.instance.service_account[0].email == module.vm.service_account && toset(module.vm.instance.service_account[0].scopes) == toset(["cloud-platform"])
    error_message = "The machine runs as another service account, or with old scopes."
  }
  assert {
    condition     = module.vm.instance.deletion_protection && startswith(module.vm.instance.boot_disk[0].initialize_params[0].image, "debian-cloud/debian-12")
    error_message = "The machine can be deleted by mistake, or is no Debian 12."
  }
}

run "no_secret_stands_in_metadata" {
  assert {
    condition     = alltrue([for value in values(module.vm.instance.metadata) : !can(regex("(?i)(BEGIN [A-Z ]*PRIVATE KEY|password *= *\"|://[^/@\" ]+:[^$@\" /][^@\" ]*@)", value))])
    error_message = "A password or key stands in the machine's metadata."
  }
  assert {
    condition     = alltrue([for value in values(module.vm.instance.metadata) : !strcontains(value, "generated-by-random")])
    error_message = "A generated password stands in the machine's metadata."
  }
  assert {
    condition     = alltrue([for line in split("\n", module.vm.instance.metadata["trackgate-secrets"]) : can(regex("^(secrets|tls)/[a-z.-]+ [A-Za-z0-9_-]+$", line))])
    error_message = "More than names of secrets stands in the machine's metadata."
  }
  assert {
    condition     = alltrue([for value in values(module.vm.instance.metadata) : value != ""])
    error_message = "An empty value, which the metadata server may not have."
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
    condition     = module.audit.sink.filter == "resource.type=\"gce_instance\" AND log_id(\"trackgate_audit\")"
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
    condition     = module.lb.programs == [{ name = "projects/123456789/iap_web/compute/services/trackgate", clients = tolist(["1234-abc.apps.googleusercontent.com"]) }]
    error_message = "IAP would refuse ID tokens of the listed clients, or take others': ${jsonencode(module.lb.programs)}"
  }
  assert {
    condition     = output.iap_programs.clients == tolist(["1234-abc.apps.googleusercontent.com"]) && output.iap_programs.signed == "https://mlflow.example.com/*"
    error_message = "Nobody is told for whom a program's credential for IAP is made out."
  }
}

run "without_a_list_iap_is_left_as_it_is" {
  assert {
    condition     = length(module.lb.programs) == 0 && length(output.iap_programs.clients) == 0
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
