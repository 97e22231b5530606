#!/usr/bin/env bash
# Makes the machine what its metadata say: Trackgate's package, a stock MLflow, their settings and secrets, both running.
# Compute Engine runs it as root at every start; `google_metadata_script_runner startup` runs it again after an upgrade.
# Run twice, it changes nothing the second time. Secrets come from Secret Manager with the machine's own identity.
#
# For tests and mirrors: METADATA_URL, SECRETS_URL, STORAGE_URL, OPS_AGENT_REPO, and what apt and pip read (PIP_INDEX_URL).
set -euo pipefail
umask 022

METADATA_URL=${METADATA_URL:-http://metadata.google.internal}
SECRETS_URL=${SECRETS_URL:-https://secretmanager.googleapis.com}
STORAGE_URL=${STORAGE_URL:-https://storage.googleapis.com}
OPS_AGENT_REPO=${OPS_AGENT_REPO:-https://packages.cloud.google.com/apt}
KEPT=/var/lib/trackgate-machine   # what was installed, and the package

say() { echo "trackgate startup: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

# --- what the machine is told -------------------------------------------------------------------------------------

get() { curl -fsS --connect-timeout 5 --max-time 60 --retry 5 --retry-delay 2 --retry-connrefused "$@"; }
metadata() { get -H 'Metadata-Flavor: Google' "$METADATA_URL/computeMetadata/v1/$1"; }
# An attribute that must be there (it may be empty).
attribute() { metadata "instance/attributes/$1" || fail "the instance has no metadata \`$1\`"; }

# One member of a JSON object on standard input.
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# The access token goes to curl by a file descriptor: arguments can be read by every process here.
authorized() { get -H @<(printf 'Authorization: Bearer %s\n' "$TOKEN") "$@"; }

secret() {
  authorized "$SECRETS_URL/v1/projects/$PROJECT/secrets/$1/versions/latest:access" |
    python3 -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["payload"]["data"]))' ||
    fail "the secret \`$1\` cannot be read: has it a version, and may this machine's service account access it?"
}

# --- files --------------------------------------------------------------------------------------------------------

CHANGED=   # names of the services that must start anew

# put SERVICE MODE FILE: standard input becomes FILE, whole or not at all. SERVICE is noted where it was another one.
put() {
  local service=$1 mode=$2 file=$3 fresh
  fresh=$(mktemp "$file.XXXXXX")
  cat >"$fresh"
  chmod "$mode" "$fresh"
  if [ -e "$file" ] && cmp -s "$fresh" "$file" && [ "$(stat -c %a "$file")" = "$mode" ]; then
    rm -f "$fresh"
  else
    mv -f "$fresh" "$file"
    CHANGED="$CHANGED $service"
  fi
}

changed() { [[ " $CHANGED " == *" $1 "* ]]; }

# --- the parts ----------------------------------------------------------------------------------------------------

base_packages() {
  local wanted=() package
  for package in ca-certificates curl openssl python3 python3-venv; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || wanted+=("$package")
  done
  [ "${#wanted[@]}" -eq 0 ] && return
  say "installing ${wanted[*]}"
  apt_get update -q
  apt_get install -q -y --no-install-recommends "${wanted[@]}"
}

# cloud-init and unattended upgrades hold the lock for a while after the first start.
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@" >/dev/null; }

# The package, once for each SHA-256.
trackgate_package() {
  local url sum file=$KEPT/trackgate.deb rest
  url=$(attribute trackgate-package)
  sum=$(attribute trackgate-package-sha256)
  [ "$(cat "$KEPT/package.sha256" 2>/dev/null || true)" = "$sum" ] && return
  say "installing $url"
  case $url in
    gs://*)
      rest=${url#gs://}
      authorized --max-time 600 -o "$file" "$STORAGE_URL/storage/v1/b/${rest%%/*}/o/$(quoted "${rest#*/}")?alt=media"
      ;;
    https://*) get --max-time 600 --proto =https --location -o "$file" "$url" ;;
    *) fail "\`$url\` is neither gs:// nor https://" ;;
  esac
  echo "$sum  $file" | sha256sum --check --status || fail "$url is not the package that was named: its SHA-256 is another one"
  apt_get install -q -y --no-install-recommends --allow-downgrades "$file"
  rm -f "$file"
  echo "$sum" >"$KEPT/package.sha256"
  CHANGED="$CHANGED trackgate"
}

quoted() { python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$1"; }

# A stock MLflow in an environment of its own, one for each set of versions; `current` is moved when it is whole.
mlflow_packages() {
  local packages name venv
  packages=$(attribute mlflow-packages)
  name=$(sha256sum <<<"$packages" | cut -c1-16)
  venv=/opt/mlflow/$name
  if [ ! -e "$venv/whole" ]; then
    say "installing" $packages
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086  # one word for each package
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir $packages
    touch "$venv/whole"
  fi
  [ "$(readlink /opt/mlflow/current 2>/dev/null || true)" = "$venv" ] && return
  MLFLOW_NEW=$venv
}

# The database's CA and address; MLflow's password alone is a secret, and stands in a file that systemd reads as root.
mlflow_settings() {
  local host password
  install -d -m 0755 /etc/mlflow
  attribute database-ca | put mlflow 0644 /etc/mlflow/database-ca.pem
  host=$(attribute mlflow-database-host)
  password=$(secret "$(attribute mlflow-database-secret)")
  put mlflow 0600 /etc/mlflow/machine.env <<EOF
MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://mlflow:$password@$host/mlflow?sslmode=verify-full&sslrootcert=/etc/mlflow/database-ca.pem
MLFLOW_ARTIFACTS_DESTINATION=$(attribute mlflow-artifacts)
EOF
}

# Moves to the new environment. A database that an older MLflow has left is brought up to date first, with MLflow stopped.
mlflow_switch() {
  [ -n "$MLFLOW_NEW" ] || return 0
  systemctl stop mlflow.service 2>/dev/null || true
  # The environment of this process, not its arguments.
  ( set -a; . /etc/mlflow/machine.env; exec "$MLFLOW_NEW/bin/python" - ) <<'EOF' || fail "MLflow's database could not be brought up to date; the old MLflow was stopped, and its version before stands in /opt/mlflow"
import os
from sqlalchemy import create_engine, inspect
from mlflow.store.db import utils

engine = create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
if inspect(engine).has_table("alembic_version"):
    utils._upgrade_db(engine)
EOF
  ln -sfn "$MLFLOW_NEW" /opt/mlflow/next
  mv -fT /opt/mlflow/next /opt/mlflow/current
  CHANGED="$CHANGED mlflow"
}
