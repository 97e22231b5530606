#!/bin/sh
# What goes into the container's last stage: parts.sh BINARY AUTHORITIES FOLDER. Run in the Dockerfile, and by deploy/check/image.
set -eu
binary=$1 authorities=$2 parts=$3
here=$(dirname "$0")
mkdir -p "$parts/image/usr/local/bin" "$parts/image/etc/ssl/certs" "$parts/image/etc/trackgate" "$parts/state/trackgate"
cp "$binary" "$parts/image/usr/local/bin/trackgate"
chmod 0755 "$parts/image/usr/local/bin/trackgate"
if command -v strip >/dev/null && [ -z "${KEEP_SYMBOLS:-}" ]; then
  # Another architecture's binary is not this one's to strip.
  strip "$parts/image/usr/local/bin/trackgate" 2>/dev/null || true
fi
cp "$authorities" "$parts/image/etc/ssl/certs/ca-certificates.crt"
cp "$here/../config/container.toml" "$parts/image/etc/trackgate/trackgate.toml"
echo 'trackgate:x:65532:65532:trackgate:/var/lib/trackgate:/sbin/nologin' >"$parts/image/etc/passwd"
echo 'trackgate:x:65532:' >"$parts/image/etc/group"
