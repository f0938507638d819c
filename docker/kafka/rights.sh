#!/bin/bash
# Gives Kafka's users their rights. Repeats change nothing.
set -eu
jobs=()
# At the same time: the tool takes seconds to start.
while read -ra rule; do
  java -Xmx128m -cp '/opt/kafka/libs/*' org.apache.kafka.tools.AclCommand --bootstrap-server localhost:9094 \
    --command-config /run/passbook/admin.properties --add "${rule[@]}" </dev/null &
  jobs+=($!)
done </etc/acls.txt
for job in "${jobs[@]}"; do wait "$job"; done
