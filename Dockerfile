# Images of both services, small and without root. Build them from the repository's root:
#   docker build --target command-service .
#   docker build --target projection-service .

FROM rust:1.95-bookworm AS dependencies
WORKDIR /build
# Debug info would triple the size of the programs.
ENV CARGO_PROFILE_RELEASE_DEBUG=false
# A layer with the dependencies of both services, which only a manifest can invalidate.
COPY Cargo.toml Cargo.lock ./
COPY shared/Cargo.toml shared/
COPY setup/Cargo.toml setup/
COPY command-service/Cargo.toml command-service/
COPY projection-service/Cargo.toml projection-service/
COPY launcher/Cargo.toml launcher/
COPY bench/Cargo.toml bench/
COPY embedded-postgres/Cargo.toml embedded-postgres/
COPY in-process-broker/Cargo.toml in-process-broker/
RUN for manifest in */Cargo.toml; do crate=${manifest%/*}; \
      mkdir -p $crate/src && echo 'fn main() {}' > $crate/src/main.rs && touch $crate/src/lib.rs; \
    done \
 && cargo build --locked --release -p command-service -p projection-service \
 && rm -r */src

FROM dependencies AS programs
COPY . .
# Cargo compares modification times, and the empty sources were newer.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
 && cargo build --locked --release -p command-service -p projection-service

FROM debian:bookworm-slim AS command-service
COPY --from=programs /build/target/release/command-service /usr/local/bin/
USER 10001:10001
ENV COMMAND_ADDR=0.0.0.0:8080 COMMAND_OPS_ADDR=0.0.0.0:9080 LOG_FORMAT=json
EXPOSE 8080 9080
HEALTHCHECK --interval=2s --timeout=5s --start-period=60s --retries=5 CMD ["command-service", "healthcheck"]
ENTRYPOINT ["command-service"]

FROM debian:bookworm-slim AS projection-service
COPY --from=programs /build/target/release/projection-service /usr/local/bin/
USER 10001:10001
ENV PROJECTION_ADDR=0.0.0.0:8081 PROJECTION_OPS_ADDR=0.0.0.0:9081 LOG_FORMAT=json
EXPOSE 8081 9081
HEALTHCHECK --interval=2s --timeout=5s --start-period=60s --retries=5 CMD ["projection-service", "healthcheck"]
ENTRYPOINT ["projection-service"]
