resource "google_compute_global_address" "this" {
  project = var.project
  name    = var.name
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project
  name    = var.name

  managed {
    domains = [var.domain]
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

# Health has a listener of its own: nobody is exempt from signing in on the one that serves.
resource "google_compute_health_check" "this" {
  project            = var.project
  name               = var.name
  check_interval_sec = 10
  timeout_sec        = 5

  http_health_check {
    port         = var.health_port
    request_path = "/readyz"
  }
  log_config {
    enable = true
  }
}

# The machine, as the load balancer sees it. In another zone a new group, and a new machine in it, are made first; then the backend
# service is led there; then the old ones are deleted, which nothing uses any more. (Terraform passes this on to all that the group
# needs.) Within one zone the new machine would have the old one's link, and Terraform would not see that the group lost it.
resource "google_compute_instance_group" "this" {
  project   = var.project
  zone      = var.instance.zone
  name      = var.name
  instances = [var.instance.self_link]

  named_port {
    name = "trackgate"
    port = var.port
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_backend_service" "this" {
  project               = var.project
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  port_name             = "trackgate"
  # Of the whole answer: 30 s, the default, would cut artifacts off.
  timeout_sec                     = 3600
  connection_draining_timeout_sec = 60
  health_checks                   = [google_compute_health_check.this.id]
  security_policy                 = var.security_policy

  backend {
    group           = google_compute_instance_group.this.id
    balancing_mode  = "UTILIZATION"
    capacity_scaler = 1
  }

  # No client id: Google's own OAuth client. (The API that made others is gone since March 2026.)
  iap {
    enabled = true
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_url_map" "this" {
  project         = var.project
  name            = var.name
  default_service = google_compute_backend_service.this.id
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project
  name             = var.name
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "https" {
  project               = var.project
  name                  = "${var.name}-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}

# Port 80 says where 443 is.
resource "google_compute_url_map" "redirect" {
  project = var.project
  name    = "${var.name}-redirect"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "redirect" {
  # checkov:skip=CKV_GCP_43:It has no backend: every request is answered with a redirect to https
  project = var.project
  name    = "${var.name}-redirect"
  url_map = google_compute_url_map.redirect.id
}

resource "google_compute_global_forwarding_rule" "redirect" {
  project               = var.project
  name                  = "${var.name}-redirect"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.redirect.id
}

# Who may come as far as Trackgate. What they may do there, Trackgate decides.
resource "google_iap_web_backend_service_iam_member" "this" {
  for_each = toset(var.members)

  project             = var.project
  web_backend_service = google_compute_backend_service.this.name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

# Google's own OAuth client is for browsers alone: IAP takes ID tokens of programs where they are made out for one of these.
resource "google_iap_settings" "this" {
  count = length(var.programmatic_clients) == 0 ? 0 : 1

  name = "projects/${var.project_number}/iap_web/compute/services/${google_compute_backend_service.this.name}"

  access_settings {
    oauth_settings {
      programmatic_clients = var.programmatic_clients
    }
  }
}

resource "google_dns_record_set" "this" {
  count = var.dns_zone == null ? 0 : 1

  project      = coalesce(var.dns_project, var.project)
  managed_zone = var.dns_zone
  name         = "${var.domain}."
  type         = "A"
  ttl          = 300
  rrdatas      = [google_compute_global_address.this.address]
}
