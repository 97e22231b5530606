# The binary and nothing else of ours: Trackgate keeps its state in /var/lib/trackgate and reads /etc/trackgate.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin trackgate \
 && install -d /out/var/lib/trackgate /out/etc/trackgate \
 && install -s target/release/trackgate /out/trackgate

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/trackgate /usr/local/bin/trackgate
COPY --from=build --chown=65532:65532 /out/var/lib/trackgate /var/lib/trackgate
COPY --from=build /out/etc/trackgate /etc/trackgate
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["/usr/local/bin/trackgate"]
CMD ["--config", "/etc/trackgate/trackgate.toml", "serve"]
