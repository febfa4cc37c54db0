#!/usr/bin/env bash
# Sets up, builds, installs, starts a private server with the demo application, and walks through
# the runbook.
#   FRESH=1  creates the demo database anew
#   LEAKS=1  also loads the deliberate row-level-security leaks
. "$(dirname "$0")/lib.sh"
begin

step "Building and installing the extension" install_release
dev/cluster.sh start
eval "$(dev/cluster.sh env)"

# The demo database is created again when its content has changed: the extension, the application
# or LEAKS. The library stands for the install script, which pgrx writes in a random order.
library=$("$pg_config" --pkglibdir)/crewsnow_ops.so
wanted=$(cat "$library" demo/*.sql demo/data/*.sql | cksum)${LEAKS:+ leaks}
there=$(psql -X -At -d postgres -c "SELECT pg_catalog.shobj_description(oid, 'pg_database')
    FROM pg_catalog.pg_database WHERE datname = 'crewsnow'")

load() {
    psql -X -q -d postgres -v ON_ERROR_STOP=1 \
        -c 'DROP DATABASE IF EXISTS crewsnow WITH (FORCE)' -c 'CREATE DATABASE crewsnow'
    dev/load_demo.sh ${LEAKS:+leaks}
    psql -X -q -v ON_ERROR_STOP=1 -c "COMMENT ON DATABASE crewsnow IS '$wanted'"
}
if [ "$there" != "$wanted" ] || [ -n "${FRESH:-}" ]; then
    step "Loading the demo application into database crewsnow" load
fi

dev/walk.sh

cat <<END

The server is yours. Connect with
    make psql
or from anywhere with
    $pg_bin/psql "host=$PGHOST port=$PGPORT user=postgres dbname=crewsnow"
Start over with FRESH=1 make run, stop it with make stop.
END
