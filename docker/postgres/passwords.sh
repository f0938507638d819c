#!/bin/bash
# Sets the passwords of all roles to those that `setup` has written.
set -eu
# The client reads the files, so that no password is an argument of a program. Errors would quote the statement.
psql --quiet -v ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
SET log_min_error_statement = panic;
\set superuser `cat /run/passbook/postgres.password`
\set owner `cat /run/passbook/passbook_owner.password`
\set command `cat /run/passbook/passbook_command.password`
\set projection_owner `cat /run/passbook/passbook_projection_owner.password`
\set projection `cat /run/passbook/passbook_projection.password`
ALTER ROLE postgres PASSWORD :'superuser';
ALTER ROLE passbook_owner PASSWORD :'owner';
ALTER ROLE passbook_command PASSWORD :'command';
ALTER ROLE passbook_projection_owner PASSWORD :'projection_owner';
ALTER ROLE passbook_projection PASSWORD :'projection';
SQL
