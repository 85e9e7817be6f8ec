#!/bin/sh
# Makes the database, the owner of its tables and a role for each part of Cerrojo, none of them a
# superuser, with the passwords of /keys (deploy/compose_secrets.py). The image of Postgres runs it
# when it makes a volume. It may be run again by hand, as for a volume from before there were roles,
# where the superuser is cerrojo itself: POSTGRES_USER says so.
set -eu

sql() {
    psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres "$@"
}

for role in cerrojo cerrojo_gateway cerrojo_operator cerrojo_workers; do
    FILE="${KEYS:-/keys}/$role"
    export FILE
    sql --set=role="$role" <<'SQL'
\set password `cat "$FILE"`
SELECT format('CREATE ROLE %I', :'role') WHERE to_regrole(:'role') IS NULL \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
-- So the owner sees what the parts' sessions do, and may end them.
SELECT format('GRANT %I TO cerrojo', :'role') WHERE :'role' <> 'cerrojo' \gexec
SQL
done

sql <<'SQL'
SELECT 'CREATE DATABASE cerrojo OWNER cerrojo'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'cerrojo') \gexec
SQL
