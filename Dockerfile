# The binary and nothing else of ours: Trackgate keeps its state in /var/lib/trackgate and reads /etc/trackgate.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin trackgate \
 && install -D -s target/release/trackgate /out/trackgate

FROM debian:bookworm-slim
# Trackgate refuses a state folder that others may enter.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0700 -o 65532 -g 65532 /var/lib/trackgate \
 && install -d -m 0750 -o 65532 -g 65532 /var/log/trackgate \
 && install -d /etc/trackgate
COPY --from=build /out/trackgate /usr/local/bin/trackgate
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["/usr/local/bin/trackgate"]
CMD ["--config", "/etc/trackgate/trackgate.toml", "serve"]
