#!/bin/bash
# Formats empty storage, with the users and their passwords, and runs Kafka. The image's own start script rewrites its
# configuration, which fails with read-only files.
set -eu
scram() { echo "SCRAM-SHA-512=[name=$1,password=$(<"/run/passbook/$1.password")]"; }
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id MkU3OEVBNTcwNTJENDM2Qk \
  --config /etc/passbook/server.properties --add-scram "$(scram relay)" --add-scram "$(scram projection)"
# Logs go to the container's output only. Here and not in the container's environment, which Kafka's tools read as well.
export LOG_DIR=/tmp/kafka EXTRA_ARGS='-name kafkaServer' \
  KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/etc/passbook/log4j2.yaml
exec /opt/kafka/bin/kafka-server-start.sh /etc/passbook/server.properties
