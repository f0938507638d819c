#!/bin/bash
# Creates, on an empty volume, each service's database, the role that owns its tables (for the `migrate` jobs), and the
# role of the service.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
CREATE ROLE passbook_owner LOGIN;
CREATE ROLE passbook_command LOGIN;
CREATE ROLE passbook_projection_owner LOGIN;
CREATE ROLE passbook_projection LOGIN;
CREATE DATABASE passbook_command OWNER passbook_owner;
CREATE DATABASE passbook_projection OWNER passbook_projection_owner;
REVOKE ALL ON DATABASE passbook_command, passbook_projection, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE passbook_command TO passbook_command;
-- A rewind uses a temporary table.
GRANT CONNECT, TEMPORARY ON DATABASE passbook_projection TO passbook_projection;
-- By default, every role may create large objects.
\connect passbook_command
REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;
\connect passbook_projection
REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;
SQL
bash /etc/passbook/passwords.sh
