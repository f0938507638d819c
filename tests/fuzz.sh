#!/usr/bin/env bash
# Runs Passbook and has schemathesis, which reads each service's /openapi.json, send both whatever fits it or does not:
# no 500, no undocumented status, no answer that breaks its schema.
# Usage: tests/fuzz.sh PASSBOOK [EXAMPLES]; PASSBOOK is the program, EXAMPLES how many requests an operation and phase.
set -euo pipefail
passbook=$(realpath "$1") examples=${2:-40}
work=$(mktemp -d)
# Postgres's own user has to get in.
chmod 755 "$work"
"$passbook" --data-dir "$work/data" --command-addr 127.0.0.1:20480 --projection-addr 127.0.0.1:20481 >"$work/log" 2>&1 &
running=$!
trap 'kill "$running" && wait "$running"; rm -rf "$work"' EXIT

python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet 'schemathesis==4.32.5'
until grep -q "Passbook is ready" "$work/log"; do
  kill -0 "$running" || { cat "$work/log"; exit 1; }
  sleep 0.2
done
# Where it leaves what it caches.
cd "$work"
for port in 20480 20481; do
  # Streams are left out: each would be read to its end.
  "$work/python/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" --max-examples "$examples" --no-color \
    --generation-database none --exclude-path-regex '/stream$' --phases examples,coverage,fuzzing \
    --checks status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
  # A 503 is an answer (it tells what to wait for), a 500 is a defect.
  if curl --silent "http://127.0.0.1:$port/metrics" | grep 'status="500"'; then exit 1; fi
done
if grep -i panicked "$work/log"; then exit 1; fi
