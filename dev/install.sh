#!/usr/bin/env bash
# Installs into an existing PostgreSQL: install.sh /path/to/pg_config
. "$(dirname "$0")/lib.sh"
: >"$log"
target=${1:-}
use_foreign_postgresql "$target"
dev/setup.sh "$target"
# This user builds; sudo copies where this user may not write.
sudo=
[ -w "$("$target" --pkglibdir)" ] && [ -w "$("$target" --sharedir)/extension" ] || sudo=--sudo
install_there() {
    cargo pgrx install --release --no-default-features --features "pg$PG" \
        --pg-config "$target" $sudo
}
step "Building and installing into $("$target" --version) at $("$target" --pkglibdir)" install_there
echo "Next, in each database that shall use it: CREATE EXTENSION crewsnow_ops;"
