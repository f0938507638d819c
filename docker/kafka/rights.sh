#!/bin/bash
# Gives Kafka's users their rights. Repeats change nothing.
set -eu
while read -ra rule; do
  java -Xmx256m -cp '/opt/kafka/libs/*' org.apache.kafka.tools.AclCommand --bootstrap-server localhost:9094 \
    --command-config /run/passbook/admin.properties --add "${rule[@]}" </dev/null
done </etc/acls.txt
