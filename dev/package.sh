#!/usr/bin/env bash
# Builds the files to ship: package.sh /path/to/pg_config
. "$(dirname "$0")/lib.sh"
: >"$log"
target=${1:-/usr/lib/postgresql/15/bin/pg_config}
use_foreign_postgresql "$target"
dev/setup.sh "$target"
out=$root/target/package
package() {
    rm -rf "$out"
    cargo pgrx package --no-default-features --features "pg$PG" --pg-config "$target" \
        --out-dir "$out"
}
step "Packaging for $("$target" --version)" package
find "$out" -type f | sed "s|^$root/||"
