#!/bin/bash
# Run once, when the volume is empty: a database for each service, and the roles that use them. The owner of the log's
# tables is not the role that appends to them.
set -eu
psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  -v owner="$PASSBOOK_OWNER_PASSWORD" -v command="$PASSBOOK_COMMAND_PASSWORD" -v projection="$PASSBOOK_PROJECTION_PASSWORD" <<'SQL'
CREATE ROLE passbook_owner LOGIN PASSWORD :'owner';
CREATE ROLE passbook_command LOGIN PASSWORD :'command';
CREATE ROLE passbook_projection LOGIN PASSWORD :'projection';
CREATE DATABASE passbook_command OWNER passbook_owner;
CREATE DATABASE passbook_projection OWNER passbook_projection;
REVOKE ALL ON DATABASE passbook_command, passbook_projection FROM PUBLIC;
GRANT CONNECT ON DATABASE passbook_command TO passbook_command;
SQL
