#!/usr/bin/env bash
# Everything that must hold before a change lands: test.sh [PART...], all parts without an argument.
. "$(dirname "$0")/lib.sh"
begin
parts=${*:-style server suites}

# The flags that cargo-pgrx builds with, so that what is built once serves both.
flags="target.'cfg(all(target_family = \"unix\", not(target_os = \"macos\")))'.rustflags = [\"-C\", \"link-arg=-Wl,--no-gc-sections\"]"

style() {
    local which=(--workspace --no-default-features --features "crewsnow_ops/pg$PG" --config "$flags")
    cargo fmt --all --check
    cargo clippy "${which[@]}" --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc "${which[@]}" --no-deps --document-private-items
}

# The pure core under cargo test and the in-server tests under pgrx's harness are one binary.
server() {
    local args=(--no-default-features --features "pg$PG" "pg$PG")
    if [ "$(id -u)" = 0 ]; then
        server_dir "$state/pgrx-test"
        args+=(--runas "$server_user" --pgdata "$state/pgrx-test/$PG")
    fi
    cargo pgrx test "${args[@]}"
}

# The install script must be clean in the eyes of pgspot, which finds names that somebody else could make resolve to something else. Its
# whole answer is compared: a script that it cannot read also has no findings.
pgspot() {
    local tool=$root/target/pgspot/bin/pgspot answer
    if [ ! -x "$tool" ]; then
        python3 -m venv "$root/target/pgspot"
        "$root/target/pgspot/bin/pip" install --quiet pgspot==0.9.4
    fi
    sed 's/@extschema@/public/g' "$("$pg_config" --sharedir)"/extension/crewsnow_ops--*.sql >"$root/target/install.sql"
    answer=$("$tool" "$root/target/install.sql" 2>&1 || true)
    echo "$answer"
    [ "$(echo "$answer" | xargs)" = "Errors: 0 Warnings: 0 Unknown: 0" ]
}

suites() {
    server_dir "$state/test"
    CREWSNOW_PG_BIN=$pg_bin CREWSNOW_STATE=$state/test CREWSNOW_SERVER_USER=$server_user \
        cargo test --package harness --no-fail-fast "$@"
}

# The answers must not depend on the code that bypasses the server's interface.
without_shortcuts() {
    local off='crewsnow_ops.direct_insert=off;crewsnow_ops.brin_summaries=off;crewsnow_ops.wal_skip=off'
    CREWSNOW_SERVER_SETTINGS="$off;crewsnow_ops.direct_catalog_scans=off" \
        suites --test scenario -- event_log:: telemetry:: health rls_
}

for part in $parts; do
    case $part in
        style) step "Format, lints, documentation" style ;;
        server) printf '==> Pure core and in-server tests (cargo pgrx test)\n'; server ;;
        suites)
            step "Building and installing the extension" install_release
            step "Examining the install script" pgspot
            printf '==> Suites over psql and real sessions (cargo test)\n'
            suites
            printf '==> Scenarios with all shortcuts off\n'
            without_shortcuts
            ;;
    esac
done
