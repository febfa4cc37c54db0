#!/usr/bin/env bash
# The row-level-security part of bench.sh, on the demo server. TABLES=1000 with four policies each;
# ROWS=2000000 of a large table; ROUNDS=15.
. "$(dirname "$0")/lib.sh"
begin_part
tables=${TABLES:-1000} rows=${ROWS:-2000000} rounds=${ROUNDS:-15}
rivals=$state/rls-rivals
trap 'restart_demo >>"$log"' EXIT
sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

prepare() { # the same sixteen tables twice: for the rivals without the extension
    local database
    for database in bench bench_bare; do
        sql -d postgres -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" \
            -c "CREATE DATABASE $database"
        sql -d $database -f dev/bench/rls_roles.sql -f dev/bench/rls_sixteen.sql
    done
    sql -c 'CREATE EXTENSION crewsnow_ops'
}
get_rivals() {
    [ -x "$rivals/bin/pgrls" ] || python3 -m venv "$rivals"
    "$rivals/bin/pip" install --quiet pgrls==0.57.1 rlsautotest==0.7.1
}

timed() { # timed FILE COMMAND...: milliseconds into FILE, the output into FILE.out
    local file=$1 began
    shift
    began=$(date +%s%N)
    "$@" >"$file.out" 2>>"$log" || true
    echo $((($(date +%s%N) - began) / 1000000)) >>"$file"
}
in_session() { # in_session CALLS STATEMENT: milliseconds of the last call in a new session
    {
        for _ in $(seq 2 "$1"); do
            echo "SELECT count(*) FROM ($2) AS s \\g /dev/null"
        done
        echo "SELECT clock_timestamp() AS started \\gset"
        echo "SELECT count(*) FROM ($2) AS s \\g /dev/null"
        echo "SELECT extract(epoch FROM clock_timestamp() - :'started') * 1000;"
    } | psql -X -q -At 2>>"$log" | tail -n 1
}
matrix='SELECT * FROM crewsnow_ops.rls_matrix()'
audit='SELECT * FROM crewsnow_ops.audit_rls()'
denial="SELECT * FROM crewsnow_ops.explain_denial('aaaaaaaa-0000-4000-8000-000000000001',
    'public.t_own', '{\"id\": 2}', 'SELECT')"

sixteen() {
    local round url="postgresql://postgres@127.0.0.1:$PGPORT/bench_bare"
    rm -f "$state"/bench_rls_*
    for round in $(seq "$rounds"); do
        in_session 1 "$matrix" >>"$state/bench_rls_matrix_1"
        in_session 3 "$matrix" >>"$state/bench_rls_matrix_3"
        in_session 1 "$audit" >>"$state/bench_rls_audit_1"
        in_session 3 "$audit" >>"$state/bench_rls_audit_3"
        in_session 1 "$denial" >>"$state/bench_rls_denial_1"
        in_session 3 "$denial" >>"$state/bench_rls_denial_3"
        [ "$round" -le 3 ] || continue
        timed "$state/bench_rls_lint" "$rivals/bin/pgrls" lint --database-url "$url" --format json
        timed "$state/bench_rls_verify" "$rivals/bin/pgrls" verify --database-url "$url" \
            --mode cross-tenant --format json
        timed "$state/bench_rls_auto" "$rivals/bin/rlsautotest" --schema public --db-url "$url" \
            --report --no-fail
    done
    sql -At -c "SELECT DISTINCT relation FROM crewsnow_ops.rls_matrix()
        WHERE verdict = 'LEAK' AND relation LIKE 'public.t\\_%'" >"$state/bench_rls_found"
}
# Fourteen of the sixteen tables leak, two do not. Counts how many of each kind a tool names.
scored() { # scored NAME MILLISECONDS, the names of tables on standard input
    sed 's/^public\.//' | sort -u | awk -v name="$1" -v ms="$2" '
        /^t_own$|^t_own_once$/ { false_alarms++; next } /^t_/ { found++ }
        END { printf "%-58s %3d of 14 %8d of 2 %12.1f\n", name, found, false_alarms, ms }'
}
score() {
    printf '\n%-58s %9s %13s %12s\n' 'sixteen tables, two users' leaks 'false alarms' ms
    scored 'crewsnow_ops.rls_matrix()' "$(median <"$state/bench_rls_matrix_1")" \
        <"$state/bench_rls_found"
    python3 - "$state/bench_rls_lint.out" <<'PY' |
import json, sys
for v in json.load(open(sys.argv[1]))["violations"]:
    if v["severity"] == "error": print(v["location"].split(":")[0])
PY
        scored 'pgrls lint 0.57.1, errors' "$(median <"$state/bench_rls_lint")"
    python3 - "$state/bench_rls_verify.out" <<'PY' |
import json, sys
for t in json.load(open(sys.argv[1]))["tables"]:
    if t["verdict"] == "leak": print(t["table"])
PY
        scored 'pgrls verify --mode cross-tenant' "$(median <"$state/bench_rls_verify")"
    awk '/\[RLS on\]/ { table = $1 }
        /authenticated, not authorized/ && $4 ~ /✓/ { print table }' "$state/bench_rls_auto.out" |
        scored 'rlsautotest 0.7.1 --report' "$(median <"$state/bench_rls_auto")"
    printf 'rls_matrix(): first call of a session %.1f ms, third %.1f ms (goal: <= 20)\n' \
        "$(median <"$state/bench_rls_matrix_1")" "$(median <"$state/bench_rls_matrix_3")"
    printf 'audit_rls(): first call of a session %.1f ms, third %.1f ms\n' \
        "$(median <"$state/bench_rls_audit_1")" "$(median <"$state/bench_rls_audit_3")"
    printf 'explain_denial(): first call of a session %.1f ms, third %.1f ms (goal: <= 20)\n' \
        "$(median <"$state/bench_rls_denial_1")" "$(median <"$state/bench_rls_denial_3")"
}

thousand() {
    sql -v tables="$tables" -v rows="$rows" -f dev/bench/rls_thousand.sql >/dev/null
    local round
    rm -f "$state"/bench_many_*
    for round in 1 2 3 4 5; do
        in_session 1 "$matrix" >>"$state/bench_many_matrix"
        in_session 1 "$audit" >>"$state/bench_many_audit"
        in_session 3 "SELECT * FROM crewsnow_ops.rls_matrix('public.large')" \
            >>"$state/bench_many_large"
    done
}
large() { # blocks of the large table that an audit of it reads
    sql -At -c "SELECT pg_stat_reset_single_table_counters('public.large'::regclass)" >/dev/null
    sql -At -c "SELECT string_agg(DISTINCT verdict || ' ' || confidence, ', ')
        FROM crewsnow_ops.rls_matrix('public.large')"
    sleep 1
    sql -At -c "SELECT format('%s of %s blocks', heap_blks_read + heap_blks_hit,
        pg_relation_size('public.large') / 8192)
        FROM pg_statio_user_tables WHERE relname = 'large'"
}

step "Restarting the server for the benchmark" restart_demo max_locks_per_transaction=256
step "Creating sixteen tables, twice" prepare
step "Fetching the rivals" get_rivals
step "Auditing sixteen tables ($rounds rounds)" sixteen
score
step "Creating and auditing $tables tables and one of $rows rows" thousand
printf '\n%s tables, four policies each, five identities: ' "$tables"
printf 'rls_matrix() %.0f ms (goal: <= 5000), audit_rls() %.0f ms\n' \
    "$(median <"$state/bench_many_matrix")" "$(median <"$state/bench_many_audit")"
printf 'Memory of a session for it: %d kB (goal: <= 204,800)\n' \
    "$(memory 'SELECT count(*) FROM pg_stat_activity;' \
        'SELECT count(*) FROM crewsnow_ops.rls_matrix();')"
printf '%s rows: %.1f ms, %s\n' "$rows" "$(median <"$state/bench_many_large")" \
    "$(large | xargs -d '\n')"
sql -d postgres -c 'DROP DATABASE bench WITH (FORCE)' -c 'DROP DATABASE bench_bare WITH (FORCE)'
