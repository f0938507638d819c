#!/usr/bin/env bash
# Runs Passbook and fuzzes both services with schemathesis, by their /openapi.json: no 500, no undocumented status, no
# answer that breaks its schema.
# Usage: tests/fuzz.sh PASSBOOK [EXAMPLES]. PASSBOOK is the program, EXAMPLES the number of requests for each operation
# and phase.
set -euo pipefail
passbook=$(realpath "$1") examples=${2:-40}
work=$(mktemp -d)
# Postgres's own user must be able to enter.
chmod 755 "$work"
"$passbook" --data-dir "$work/data" --command-addr 127.0.0.1:20480 --projection-addr 127.0.0.1:20481 \
  --command-ops-addr 127.0.0.1:20490 --projection-ops-addr 127.0.0.1:20491 >"$work/log" 2>&1 &
running=$!
trap 'kill "$running" && wait "$running"; rm -rf "$work"' EXIT

python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet 'schemathesis==4.32.5'
until grep -q "Passbook is ready" "$work/log"; do
  kill -0 "$running" || { cat "$work/log"; exit 1; }
  sleep 0.2
done
# schemathesis leaves its cache in the working directory.
cd "$work"
# Most requests are for an existing account with money and a hold on it.
account=01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60 hold=0f8e5d80-6c1d-4f5b-8f0e-3a1f1c9b7e11
key="$work/data/auth" header=$(cat "$work/data/auth")
ask() { curl -H "@$key" --silent --show-error --fail --output /dev/null --json "$2" "http://127.0.0.1:20480$1"; }
ask /v1/accounts "{\"account_id\":\"$account\",\"owner\":\"fuzz\",\"currency\":\"EUR\",\"initial_deposit\":900719925474099}"
ask "/v1/accounts/$account/holds" "{\"hold_id\":\"$hold\",\"amount\":9007199254740}"
# The replay must have ended, because schemathesis reads its stream to the end.
replay=$(curl -H "@$key" --silent --show-error --fail --json '{"from":"beginning"}' http://127.0.0.1:20481/admin/replays | grep -o '[0-9a-f-]\{36\}' | head -1)
until curl -H "@$key" --silent "http://127.0.0.1:20481/admin/replays/$replay" | grep -q '"state":"done"'; do sleep 0.2; done
{
  printf '[parameters]\n"path.id" = "%s"\n"path.hold_id" = "%s"\n' "$account" "$hold"
  printf '"path.version" = [1, 2, 3, 99]\n"path.replay_id" = "%s"\n' "$replay"
} >there.toml
: >anywhere.toml
for config in there anywhere; do
  for port in 20480 20481; do
    "$work/python/bin/schemathesis" --config-file "$config.toml" run "http://127.0.0.1:$port/openapi.json" --header "$header" --max-examples "$examples" --no-color \
      --generation-database none --phases examples,coverage,fuzzing \
      --checks status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
    # A 503 is a documented answer, a 500 is a defect.
    if curl --silent --fail http://127.0.0.1:20490/metrics | grep 'status="500"'; then exit 1; fi
  done
done
if grep -i panicked "$work/log"; then exit 1; fi
