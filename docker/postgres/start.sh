#!/bin/bash
# Runs Postgres with TLS. Postgres refuses a private key that other users can read, as they can setup's files.
set -eu
install -m 0600 /run/passbook/tls.key /var/run/postgresql/tls.key
# Rare checkpoints, and files of WAL to reuse: a commit that creates one takes 10 to 20 ms.
exec docker-entrypoint.sh postgres -c hba_file=/etc/passbook/pg_hba.conf \
  -c ssl=on -c ssl_cert_file=/run/passbook/tls.crt -c ssl_key_file=/var/run/postgresql/tls.key \
  -c max_wal_size=4GB -c min_wal_size=1GB -c checkpoint_timeout=15min
