#!/usr/bin/env bash
# The flags part of bench.sh, on the demo server. ROUNDS=7 by default.
. "$(dirname "$0")/lib.sh"
begin_part

native=$state/empty_native.so
build_rival() {
    gcc -O2 -fPIC -shared -I"$("$pg_config" --includedir-server)" \
        -o "$native" dev/bench/empty_native.c
    chmod 755 "$native"
}
prepare() {
    psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' \
        -c 'CREATE DATABASE bench'
    psql -X -q -v ON_ERROR_STOP=1 -v native="$native" -f dev/bench/setup.sql
}
step "Building the rival" build_rival
step "Creating 1,000,000 users" prepare
step "Measuring evaluation (some minutes)" \
    psql -X -q -v ON_ERROR_STOP=1 -v rounds="${ROUNDS:-7}" -f dev/bench/flags.sql
psql -X -q -f dev/bench/report.sql

first_call() { # the first evaluation of a new session, which loads the library and the flags
    for _ in $(seq 21); do
        psql -X -At <<'SQL' | tail -n 1
SELECT 1;
SELECT clock_timestamp() AS started \gset
SELECT is_feature_enabled_for_user('flag_1') \g /dev/null
SELECT extract(epoch FROM clock_timestamp() - :'started') * 1000;
SQL
    done | median
}
used=$(memory "SELECT bench.empty_native('', NULL), is_feature_enabled_for_user(NULL);" \
    "SELECT is_feature_enabled_for_user('flag_1');")
printf 'Memory of a session with 10,000 flags: %d kB (goal: <= 10,240)\n' "$used"
printf 'First call of a new session at 10,000 flags: median %.2f ms\n' "$(first_call)"
psql -X -q -c "DELETE FROM feature_flags
    WHERE flag_key ~ '^flag_' AND substr(flag_key, 6)::int > 187" -c 'VACUUM FULL feature_flags'
printf 'First call of a new session at 200 flags: median %.2f ms (goal: <= 5)\n' "$(first_call)"

suite() { # suite SUITE TEST PATTERN: the line that a test prints
    CREWSNOW_PG_BIN=$pg_bin CREWSNOW_STATE=$state/test CREWSNOW_SERVER_USER=$server_user \
        cargo test --package harness --test "$1" "$2" -- --nocapture 2>>"$log" |
        grep -o "$3" || die "$1 $2 failed; see $log"
}
server_dir "$state/test"
suite scenario a_standby_evaluates 'flip to visible.*'
printf 'Flip to visible in other sessions of the primary, a minute of flips and reads: '
suite concurrency no_stale_and_no_dirty_read '[0-9]* flips, .*'
psql -X -q -d postgres -c 'DROP DATABASE bench WITH (FORCE)'
