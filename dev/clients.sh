#!/usr/bin/env bash
# Installs the programs of the suite `clients`. PgBouncer, Node.js, a JVM and its driver come from
# Debian; the drivers of Python and JavaScript from PyPI and npm, into target/clients.
# On a machine that is ready it takes less than a second.
. "$(dirname "$0")/lib.sh"

: >"$log"
drivers=$root/target/clients
python="psycopg[binary,pool]==3.3.9 asyncpg==0.32.0 SQLAlchemy==2.1.9 Django==5.2.19"
javascript="pg@8.23.1"

# Node.js and Java may come from elsewhere.
packages="pgbouncer libpostgresql-jdbc-java python3-venv"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
command -v javac >/dev/null || packages="$packages default-jdk-headless"
require_packages $packages

install_drivers() {
    rm -rf "$drivers"
    python3 -m venv "$drivers"
    "$drivers/bin/pip" install --quiet --disable-pip-version-check $python
    npm install --prefix "$drivers" --no-package-lock --no-audit --no-fund --silent $javascript
    printf '%s\n' "$python $javascript" >"$drivers/.version"
}

[ "$(cat "$drivers/.version" 2>/dev/null)" = "$python $javascript" ] ||
    step "Installing drivers from PyPI and npm to $drivers" install_drivers
