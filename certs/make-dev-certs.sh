#!/usr/bin/env bash
# Makes a throw-away certificate authority and a server certificate for development.
#   certs/make-dev-certs.sh FOLDER [NAME...]       names default to localhost and 127.0.0.1
# Writes ca.pem, cert.pem and key.pem (mode 0600) to FOLDER. The authority's key is not kept. Needs openssl.
set -euo pipefail

folder=${1:?usage: $0 FOLDER [NAME...]}
shift
[ "$#" -gt 0 ] || set -- localhost 127.0.0.1
command -v openssl >/dev/null || { echo "openssl is not installed" >&2; exit 1; }

names=
for name in "$@"; do
  case $name in
    *[!0-9.]*) names+=",DNS:$name" ;;
    *) names+=",IP:$name" ;;
  esac
done

umask 077
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

new_key "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -days 30 -subj "/CN=Trackgate development CA" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$folder/ca.pem"
new_key "$folder/key.pem"
openssl req -new -key "$folder/key.pem" -subj "/CN=$1" -out "$work/request.pem"
printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n' \
  "${names#,}" > "$work/extensions"
openssl x509 -req -in "$work/request.pem" -CA "$folder/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
  -CAserial "$work/serial" -days 30 -extfile "$work/extensions" -out "$folder/cert.pem" 2>/dev/null
chmod 644 "$folder/ca.pem" "$folder/cert.pem"
echo "certificate = \"$folder/cert.pem\""
echo "private_key = \"$folder/key.pem\""
echo "clients trust \"$folder/ca.pem\" (MLFLOW_TRACKING_SERVER_CERT_PATH)"
