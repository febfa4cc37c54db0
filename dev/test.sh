#!/usr/bin/env bash
# Everything that must hold before a change lands: test.sh [PART...], all parts without an argument.
. "$(dirname "$0")/lib.sh"
: >"$log"
dev/setup.sh
place_state
use_private_postgresql
parts=${*:-style unit server suites versions}
features="pg$PG"

style() {
    cargo fmt --all --check
    PGRX_PG_CONFIG_PATH=$pg_config cargo clippy --workspace --all-targets -- -D warnings
    PGRX_PG_CONFIG_PATH=$pg_config RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
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

install_release() {
    cargo pgrx install --release --no-default-features --features "pg$PG" --pg-config "$pg_config"
}

suites() {
    server_dir "$state/test"
    CREWSNOW_PG_BIN=$pg_bin CREWSNOW_STATE=$state/test CREWSNOW_SERVER_USER=$server_user \
        cargo test --package harness --no-fail-fast "$@"
}

for part in $parts; do
    case $part in
        style) step "Format, lints, documentation" style ;;
        server) printf '==> Pure core and in-server tests (cargo pgrx test)\n'; server ;;
        suites)
            step "Building and installing the extension" install_release
            printf '==> Suites over psql and real sessions (cargo test)\n'
            suites
            ;;
    esac
done
