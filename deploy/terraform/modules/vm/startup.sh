#!/usr/bin/env bash
# Makes the machine what its metadata say: Trackgate's package, a stock MLflow, their settings and secrets, both running.
# Compute Engine runs it as root at every start; `google_metadata_script_runner startup` runs it again after an upgrade.
# What is there already is left alone. Secrets come from Secret Manager, with the machine's own identity.
#
# Where things come from can be said otherwise, for mirrors and for tests: METADATA_URL, SECRETS_URL, STORAGE_URL,
# OPS_AGENT_URL, and what apt and pip read (PIP_INDEX_URL).
set -euo pipefail
umask 022

METADATA_URL=${METADATA_URL:-http://metadata.google.internal}
SECRETS_URL=${SECRETS_URL:-https://secretmanager.googleapis.com}
STORAGE_URL=${STORAGE_URL:-https://storage.googleapis.com}
OPS_AGENT_URL=${OPS_AGENT_URL:-https://packages.cloud.google.com/apt}
READY_WITHIN=${READY_WITHIN:-600}   # seconds, for each thing that is waited for
KEPT=/var/lib/trackgate-machine     # what was installed

say() { echo "trackgate startup: $*"; }
fail() {
  say "FAILED: $*" >&2
  exit 1
}

# --- what the machine is told -------------------------------------------------------------------------------------

get() { curl -fsS --connect-timeout 5 --max-time 60 --retry 5 --retry-delay 2 --retry-connrefused "$@"; }
metadata() { get -H 'Metadata-Flavor: Google' "$METADATA_URL/computeMetadata/v1/$1"; }
attribute() { metadata "instance/attributes/$1" || fail "the instance has no metadata \`$1\`"; }

# Asked anew each time: it lasts an hour at most, and the metadata server keeps it.
token() { metadata instance/service-accounts/default/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'; }

# authorized CURL'S ARGUMENTS: says what came. What this machine may do was written down just before it was made, and IAM
# takes some minutes to know it everywhere: 403 is asked again. The token goes to curl as a file: arguments can be read by
# every process of the machine.
authorized() {
  local end=$((SECONDS + READY_WITHIN)) told='' said
  until said=$(get -w '\n%{http_code}' -H @<(printf 'Authorization: Bearer %s\n' "$(token)") "$@"); do
    if [ "${said##*$'\n'}" != 403 ] || [ "$SECONDS" -ge "$end" ]; then return 1; fi
    [ -n "$told" ] || say "403 from ${*: -1}; asking again for up to $READY_WITHIN s" >&2
    told=yes
    sleep 5
  done
  printf %s "${said%$'\n'*}"
}

secret() {
  authorized "$SECRETS_URL/v1/projects/$PROJECT/secrets/$1/versions/latest:access" |
    python3 -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["payload"]["data"]))' ||
    fail "the secret \`$1\` cannot be read: has it a version, and may this machine's service account access it?"
}

# --- files --------------------------------------------------------------------------------------------------------

CHANGED= # whom what was written concerns

# put WHOM MODE GROUP FILE: standard input becomes FILE, whole or not at all.
put() {
  local whom=$1 mode=$2 group=$3 file=$4 fresh
  fresh=$(mktemp "$file.XXXXXX")
  cat >"$fresh"
  chgrp "$group" "$fresh"
  chmod "$mode" "$fresh"
  if [ -e "$file" ] && cmp -s "$fresh" "$file" && [ "$(stat -c '%a %G' "$file")" = "$(stat -c '%a %G' "$fresh")" ]; then
    rm -f "$fresh"
  else
    mv -f "$fresh" "$file"
    CHANGED="$CHANGED $whom"
  fi
}

changed() { [[ " $CHANGED " == *" $1 "* ]]; }

# --- packages -----------------------------------------------------------------------------------------------------

# Other programs hold the locks for a while after the first start (cloud-init, unattended upgrades).
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@" >/dev/null; }

# For the lock of its lists apt does not wait, and the way out (Cloud NAT) may be younger than this machine.
apt_update() {
  local end=$((SECONDS + READY_WITHIN)) told='' said
  until said=$(apt_get -o APT::Update::Error-Mode=any update 2>&1); do
    [ "$SECONDS" -lt "$end" ] || fail "apt-get update: $said"
    [ -n "$told" ] || say "apt-get update fails; trying again for up to $READY_WITHIN s: $said" >&2
    told=yes
    sleep 5
  done
}

base_packages() {
  local wanted=() package
  for package in ca-certificates curl openssl python3 python3-venv; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || wanted+=("$package")
  done
  [ "${#wanted[@]}" -gt 0 ] || return 0
  say "installing ${wanted[*]}"
  apt_update
  apt_get install -y --no-install-recommends "${wanted[@]}"
}

quoted() { python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$1"; }

# Trackgate, once for each SHA-256. Its package restarts it where it runs.
trackgate_package() {
  local url sum object file
  url=$(attribute trackgate-package)
  sum=$(attribute trackgate-package-sha256)
  [ "$(cat "$KEPT/package.sha256" 2>/dev/null || true)" != "$sum" ] || return 0
  say "installing $url"
  file=$(mktemp -d)/trackgate.deb
  case $url in
    gs://*)
      object=${url#gs://}
      authorized --max-time 600 -o "$file" "$STORAGE_URL/storage/v1/b/${object%%/*}/o/$(quoted "${object#*/}")?alt=media"
      ;;
    https://*) get --max-time 600 --proto =https --location -o "$file" "$url" ;;
    *) fail "\`$url\` is neither gs:// nor https://" ;;
  esac
  echo "$sum  $file" | sha256sum --check --status || fail "what lies at $url is not the package that was named: its SHA-256 is another one"
  chmod 755 "$(dirname "$file")"
  apt_get install -y --no-install-recommends --allow-downgrades "$file"
  rm -rf "$(dirname "$file")"
  echo "$sum" >"$KEPT/package.sha256"
}

# A stock MLflow: an environment of its own for each set of versions, which `current` leads to once it is whole.
MLFLOW=
mlflow_packages() {
  local packages
  packages=$(attribute mlflow-packages)
  MLFLOW=/opt/mlflow/$(sha256sum <<<"$packages" | cut -c1-16)
  [ ! -e "$MLFLOW/whole" ] || return 0
  say "installing MLflow: ${packages//$'\n'/ }"
  rm -rf "$MLFLOW"
  mkdir -p /opt/mlflow
  python3 -m venv "$MLFLOW"
  # shellcheck disable=SC2086  # one word for each package
  "$MLFLOW/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir $packages
  touch "$MLFLOW/whole"
}

# --- settings -----------------------------------------------------------------------------------------------------

mlflow_settings() {
  local host password artifacts
  host=$(attribute mlflow-database-host)
  artifacts=$(attribute mlflow-artifacts)
  password=$(secret "$(attribute mlflow-database-secret)")
  install -d -m 0755 /etc/mlflow /etc/systemd/system/mlflow.service.d
  attribute database-ca | put mlflow 0644 root /etc/mlflow/database-ca.pem
  # systemd reads it as root, and nobody else.
  put mlflow 0600 root /etc/mlflow/mlflow.env <<EOF
MLFLOW_BACKEND_STORE_URI="postgresql+psycopg2://mlflow:$password@$host/mlflow?sslmode=verify-full&sslrootcert=/etc/mlflow/database-ca.pem"
MLFLOW_SERVE_ARTIFACTS="true"
MLFLOW_ARTIFACTS_DESTINATION="$artifacts"
EOF
  # People may have accounts here: a socket that Trackgate alone can open, not a port.
  put mlflow 0644 root /etc/systemd/system/mlflow.service.d/unix-socket.conf </usr/share/trackgate/mlflow-unix-socket.conf
}

# Moves to the new environment. What an older MLflow left in the database is brought up to date first, while none runs.
mlflow_switch() {
  [ "$(readlink /opt/mlflow/current || true)" != "$MLFLOW" ] || return 0
  systemctl stop mlflow.service
  # The address with its password stands in this process's environment, not among its arguments.
  (
    set -a
    # shellcheck source=/dev/null
    . /etc/mlflow/mlflow.env
    exec "$MLFLOW/bin/python" -
  ) <<'EOF' || fail "MLflow's database could not be brought up to date; no MLflow runs now"
import os
from sqlalchemy import create_engine, inspect
from mlflow.store.db import utils

engine = create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
if inspect(engine).has_table("alembic_version"):
    utils._upgrade_db(engine)
EOF
  ln -sfn "$MLFLOW" /opt/mlflow/next
  mv -fT /opt/mlflow/next /opt/mlflow/current
  CHANGED="$CHANGED mlflow"
}

# IAP's audience is known once the load balancer stands, which is after this machine does.
audience() {
  local key=$1 end=$((SECONDS + READY_WITHIN))
  until metadata "project/attributes/$key" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || fail "the project has no metadata \`$key\`: Terraform writes it once the load balancer stands"
    sleep 5
  done
}

trackgate_settings() {
  local config key audience name id host
  config=$(attribute trackgate-config)
  key=$(attribute trackgate-iap-audience)
  if [ "$key" != none ]; then
    audience=$(audience "$key")
    config=${config//@IAP_AUDIENCE@/$audience}
  fi
  attribute database-ca | put trackgate 0640 trackgate-config /etc/trackgate/database-ca.pem

  # `secrets/NAME` is root's, and given to Trackgate by systemd; `tls/NAME` is read by Trackgate's group.
  while read -r name id; do
    case $name in
      secrets/*) secret "$id" | put trackgate 0600 root "/etc/trackgate/$name" ;;
      tls/*) secret "$id" | put trackgate 0640 trackgate-config "/etc/trackgate/$name" ;;
      '') ;;
      *) fail "\`$name\` is neither below secrets/ nor below tls/" ;;
    esac
  done <<<"$(attribute trackgate-secrets)"

  # Google's front does not look whose the certificate is.
  host=$(attribute trackgate-self-signed)
  if [ "$host" != none ] && ! openssl x509 -in /etc/trackgate/tls/cert.pem -noout -checkend 7776000 >/dev/null 2>&1; then
    (
      umask 077
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj "/CN=$host" \
        -addext "subjectAltName=DNS:$host" -keyout /etc/trackgate/tls/key.new -out /etc/trackgate/tls/cert.new 2>/dev/null
    )
    put trackgate 0640 trackgate-config /etc/trackgate/tls/key.pem </etc/trackgate/tls/key.new
    put trackgate 0640 trackgate-config /etc/trackgate/tls/cert.pem </etc/trackgate/tls/cert.new
    rm -f /etc/trackgate/tls/key.new /etc/trackgate/tls/cert.new
  fi

  # A configuration that cannot be read does not take the place of one that can. What systemd will hand over is shown to it.
  rm -rf "$KEPT/credentials"
  mkdir "$KEPT/credentials"
  for name in /etc/trackgate/secrets/*; do ln -s "$name" "$KEPT/credentials/secret_${name##*/}"; done
  install -m 0600 /dev/null "$KEPT/trackgate.toml"
  printf '%s\n' "$config" >"$KEPT/trackgate.toml"
  CREDENTIALS_DIRECTORY=$KEPT/credentials trackgate --config "$KEPT/trackgate.toml" config print >/dev/null || fail "Trackgate refuses its configuration; the one before stays"
  put trackgate 0640 trackgate-config /etc/trackgate/trackgate.toml <"$KEPT/trackgate.toml"
}

# The sockets that systemd holds for Trackgate.
sockets() {
  local port
  port=$(attribute trackgate-port)
  install -d -m 0755 /etc/systemd/system/trackgate.socket.d
  printf '[Socket]\nListenStream=\nListenStream=%s\n' "$port" | put sockets 0644 root /etc/systemd/system/trackgate.socket.d/port.conf
}

# --- running ------------------------------------------------------------------------------------------------------

# start UNIT WHOM: running, and anew where something that concerns it was written. A service that has to try more than once
# (the database is not there yet) is waited for at the end.
start() {
  local wait=()
  if [[ $1 == *.service ]]; then wait=(--no-block); fi
  systemctl --quiet enable "$1"
  if changed "$2"; then systemctl restart "${wait[@]}" "$1"; else systemctl start "${wait[@]}" "$1"; fi
}

run() {
  systemctl daemon-reload
  start mlflow.service mlflow
  if changed sockets; then systemctl stop trackgate.service; fi
  start trackgate.socket sockets
  if [ "$(attribute trackgate-redirect)" = true ]; then start trackgate-redirect.socket sockets; fi
  start trackgate.service trackgate
}

ready() {
  local end=$((SECONDS + READY_WITHIN)) said
  # What was only begun: until then, the process before answers.
  while [ -n "$(systemctl list-jobs --no-legend trackgate.service mlflow.service)" ] && [ "$SECONDS" -lt "$end" ]; do sleep 1; done
  # MLflow itself first: Trackgate asks it every few seconds, and what it says may be of the process before.
  until curl -fsS --max-time 5 --unix-socket /run/mlflow/mlflow.sock http://localhost/health >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "MLflow does not answer after $READY_WITHIN s (journalctl -u mlflow)"
    sleep 2
  done
  until said=$(curl -sS --max-time 5 -w '\n%{http_code}' http://127.0.0.1:9477/readyz 2>&1) && [ "${said##*$'\n'}" = 200 ]; do
    [ "$SECONDS" -lt "$end" ] || fail "not ready after $READY_WITHIN s: $said (journalctl -u trackgate -u mlflow)"
    sleep 2
  done
}

# Google's agent ships what stands in the journal and in the audit file, and the metrics.
ops_agent() {
  [ "$(attribute trackgate-ops-agent)" = true ] || return 0
  if ! dpkg-query -W -f '${Status}' google-cloud-ops-agent 2>/dev/null | grep -q 'ok installed'; then
    say "installing google-cloud-ops-agent"
    get -o /usr/share/keyrings/trackgate-google.asc "$OPS_AGENT_URL/doc/apt-key.gpg"
    echo "deb [signed-by=/usr/share/keyrings/trackgate-google.asc] $OPS_AGENT_URL google-cloud-ops-agent-bookworm-all main" >/etc/apt/sources.list.d/google-cloud-ops-agent.list
    apt_update
    apt_get install -y google-cloud-ops-agent
  fi
  install -d /etc/google-cloud-ops-agent
  put ops 0644 root /etc/google-cloud-ops-agent/config.yaml <<'EOF'
logging:
  receivers:
    # Cloud Logging calls the stream by this name; the sink of the module `audit` asks for it.
    trackgate_audit:
      type: files
      include_paths: [/var/log/trackgate/audit.jsonl, /var/log/private/trackgate/audit.jsonl]
    trackgate_journal:
      type: systemd_journald
  processors:
    audit_json:
      type: parse_json
      time_key: time
      time_format: "%Y-%m-%dT%H:%M:%S.%LZ"
    # Trackgate's lines are JSON too, with names that Cloud Logging knows (trace and span by themselves). Those of others
    # are text, and their severity is the journal's.
    others_out:
      type: exclude_logs
      match_any: ['NOT jsonPayload._SYSTEMD_UNIT = "trackgate.service"']
    trackgate_out:
      type: exclude_logs
      match_any: ['jsonPayload._SYSTEMD_UNIT = "trackgate.service"']
    line_json:
      type: parse_json
      field: MESSAGE
      time_key: time
      time_format: "%Y-%m-%dT%H:%M:%S.%LZ"
    severity:
      type: modify_fields
      fields:
        severity:
          move_from: jsonPayload.severity
  service:
    pipelines:
      trackgate_audit:
        receivers: [trackgate_audit]
        processors: [audit_json, severity]
      trackgate_lines:
        receivers: [trackgate_journal]
        processors: [others_out, line_json, severity]
      other_lines:
        receivers: [trackgate_journal]
        processors: [trackgate_out]
metrics:
  receivers:
    trackgate:
      type: prometheus
      config:
        scrape_configs:
          - job_name: trackgate
            scrape_interval: 60s
            static_configs:
              - targets: ["127.0.0.1:9477"]
  service:
    pipelines:
      trackgate:
        receivers: [trackgate]
EOF
  start google-cloud-ops-agent.service ops
}

main() {
  local before=$SECONDS
  [ "$(id -u)" = 0 ] || fail "it must be root"
  install -d -m 0700 "$KEPT"
  # Twice at once would be once too often.
  exec 9>"$KEPT/lock"
  flock 9
  base_packages
  PROJECT=$(metadata project/project-id)
  trackgate_package
  mlflow_packages
  mlflow_settings
  mlflow_switch
  trackgate_settings
  sockets
  run
  # What ships the logs must not keep anybody from working.
  (ops_agent) || say "FAILED: the Ops Agent is not set up; logs stay on this machine" >&2
  ready
  say "ready after $((SECONDS - before)) s"
}

main
