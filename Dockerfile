# A static binary, authorities for TLS, and nothing else: no shell, no libraries, nothing to patch.
#
#   docker build -t trackgate .                                             # on either architecture, or --platform linux/arm64
#   docker build -t trackgate --build-arg PARTS=ready --target image DIR    # from a binary built elsewhere (deploy/check/image)
#
# docs/containers.md tells how it is run.
ARG PARTS=built

# Rust on Alpine builds for musl, statically, on the architecture that it runs on.
FROM rust:1.95-alpine AS built
# For aws-lc, SQLite and mimalloc, which are C. The newest of the image's own Alpine: their versions are the image's matter.
# hadolint ignore=DL3018
RUN apk add --no-cache build-base ca-certificates cmake linux-headers perl
WORKDIR /src
COPY . .
# A static binary that can lie anywhere in memory has a list of all its addresses: packed, it takes a megabyte less.
ENV RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs"
RUN cargo build --release --locked --bin trackgate \
 && sh deploy/parts.sh target/release/trackgate /etc/ssl/certs/ca-certificates.crt /parts

# The same parts, made outside.
FROM scratch AS ready
COPY parts /parts

# hadolint ignore=DL3006
FROM ${PARTS} AS parts

FROM scratch AS image
LABEL org.opencontainers.image.title="trackgate" \
      org.opencontainers.image.description="An authenticating, per-object access layer in front of an unmodified MLflow tracking server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=parts /parts/image /
# Trackgate makes a folder in it that nobody else may enter.
COPY --from=parts --chown=65532:65532 /parts/state /var/lib
USER 65532:65532
VOLUME ["/var/lib/trackgate"]
# Requests; health and metrics.
EXPOSE 8080 9477
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/trackgate"]
CMD ["--config", "/etc/trackgate/trackgate.toml", "serve"]
