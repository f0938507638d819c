# Everyday commands; `just` lists them.
[private]
default:
    @just --list --unsorted

# Run everything on this machine: Postgres, a broker, both services
run *options:
    cargo run --release -- {{options}}

# Run the tests, or those whose names contain `filter`
test filter="":
    cargo test --workspace {{filter}}

# Check format and lints, as CI does
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Build the API reference of the code
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# Measure shape and language; `just shape --check` fails beyond the limits
shape *options:
    scripts/shape.py {{options}}

# Check licences, sources and bans of the dependencies
deny:
    cargo deny --locked check licenses bans sources

# Check the dependencies for known vulnerabilities (needs the network)
advisories:
    cargo deny --locked check advisories

# Measure throughput and latency, or one benchmark: `just bench append`
bench *names:
    cargo run --release -- bench {{names}}

# Print a running service's OpenAPI document: `just openapi 8081` for the queries
openapi port="8080":
    @curl --silent --fail http://127.0.0.1:{{port}}/openapi.json

# Run everything in containers
compose:
    docker compose -f setup.yml run --rm setup
    docker compose up --build --wait

# Run what CI runs
ci:
    .ci/run
