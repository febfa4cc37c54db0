#!/usr/bin/env bash
# The health part of bench.sh: 10,000 tables, 500 waiting sessions and 5,000 statements in
# pg_stat_statements. TABLES=, SESSIONS=, STATEMENTS= and ROUNDS=15 choose other numbers.
# The demo server restarts with other settings until the end.
. "$(dirname "$0")/lib.sh"
begin_part
tables=${TABLES:-10000} sessions=${SESSIONS:-500}
statements=${STATEMENTS:-5000} rounds=${ROUNDS:-15}
extras=$state/pg-extras

trap 'restart_demo >>"$log"' EXIT
sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# The rival is a published set of queries. The fast checks are compared with its queries for an
# incident, the full checks with all of them. Three kinds are left out: queries that need another
# extension, queries for other versions of pg_stat_statements, and a joke.
asked='all_locks blocking cache_hit calls connections index_cache_hit locks'
asked="$asked long_running_queries outliers vacuum_stats"
fill_in() { # fill_in QUERY...: with the set's own default values
    local query
    for query in "$@"; do
        sed 's/;[[:space:]]*$//; s/%{schema}/public/; s/%{limit}/10/
            s/%{min_relation_size_mb}/10/' "$extras/queries/$query.sql"
        echo ';'
    done
}
get_rival() {
    fetch_pg_extras
    all=$(cd "$extras/queries" && printf '%s\n' *.sql |
        grep -v '^buffercache_\|_17\.\|_legacy\.\|^ssl_used\|^mandelbrot' | sed 's/\.sql$//')
    fill_in $asked >"$extras/asked.sql"
    fill_in $all >"$extras/all.sql"
    echo "$all" | wc -l >"$extras/count"
    # A query that fails takes no time, so each must succeed first.
    psql -X -q -v ON_ERROR_STOP=1 -f "$extras/all.sql" >/dev/null
}

prepare() {
    sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    sql -c 'CREATE EXTENSION crewsnow_ops' -c 'CREATE EXTENSION pg_stat_statements'
    # One transaction per table, because a single one would overflow the lock table.
    sql -v tables="$tables" <<'SQL'
SELECT format($$
    CREATE TABLE t%s (id %s GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b text);
    INSERT INTO t%1$s (a, b) SELECT n, md5(n::text) FROM generate_series(1, 20) AS n;
    CREATE INDEX ON t%1$s (a)
$$, n, CASE WHEN n % 2 = 0 THEN 'int' ELSE 'bigint' END)
FROM generate_series(1, :tables) AS n \gexec
SQL
    sql -c 'VACUUM ANALYZE'
    # pg_stat_statements tells statements apart by tables and columns, not by result names.
    sql -v statements="$statements" -v tables="$tables" <<'SQL' >/dev/null
SELECT pg_stat_statements_reset();
SELECT format('SELECT id%s FROM t%s', repeat(', a', n / :tables), n % :tables + 1)
FROM generate_series(1, :statements) AS n \gexec
SELECT 1 / (count(DISTINCT queryid) >= :statements)::int FROM pg_stat_statements;
SQL
}
fill_sessions() {
    echo 'SELECT pg_sleep(3600);' >"$state/bench_sleep.sql"
    "$pg_bin/pgbench" -n -c "$sessions" -j 2 -t 1 -f "$state/bench_sleep.sql" >>"$log" 2>&1 &
    local waiting="SELECT count(*) >= $sessions FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'"
    until [ "$(sql -At -c "$waiting")" = t ]; do sleep 1; done
}

in_new_session() { # in_new_session CALLS FILE: milliseconds of the last of CALLS runs
    {
        echo 'SELECT 1 \g /dev/null'
        for _ in $(seq "$1"); do
            echo 'SELECT clock_timestamp() AS started \gset'
            echo "\\o /dev/null"
            cat "$2"
            echo "\\o"
        done
        echo "SELECT extract(epoch FROM clock_timestamp() - :'started') * 1000;"
    } | psql -X -q -At 2>>"$log" | tail -n 1
}
measure() { # measure NAME FILE: the first and the third call of a session
    local call
    for call in 1 3; do in_new_session $call "$2" >>"$state/bench_$1_$call"; done
}
in_turn() {
    rm -f "$state"/bench_{fast,full,slow,asked,all}_*
    echo 'SELECT * FROM performance_health_check();' >"$state/bench_fast.sql"
    echo 'SELECT * FROM analyze_slow_queries();' >"$state/bench_slow.sql"
    echo 'SELECT * FROM crewsnow_ops.full_health_check();' >"$state/bench_full.sql"
    local round
    for round in $(seq "$rounds"); do
        measure fast "$state/bench_fast.sql"
        measure asked "$extras/asked.sql"
        measure slow "$state/bench_slow.sql"
        # These take seconds each, so five rounds must do.
        [ "$round" -gt 5 ] || measure full "$state/bench_full.sql"
        [ "$round" -gt 5 ] || measure all "$extras/all.sql"
    done
}
line() { # line NAME TEXT GOAL
    printf '%-62s %9.1f %9.1f   %s\n' "$2" "$(median <"$state/bench_$1_1")" \
        "$(median <"$state/bench_$1_3")" "$3"
}

step "Restarting the server for the benchmark" restart_demo \
    shared_preload_libraries=pg_stat_statements max_connections=$((sessions + 50)) \
    pg_stat_statements.max=$((statements + 1000)) max_locks_per_transaction=256
step "Creating $tables tables and $statements statements" prepare
step "Fetching the rival's queries" get_rival
fill_sessions
step "Measuring ($rounds rounds)" in_turn
printf '\n%-62s %9s %9s   %s\n' \
    "$tables tables, $sessions sessions, $statements statements; medians in ms" first third goal
line fast 'performance_health_check()' '<= 100'
line asked "$(wc -w <<<"$asked") queries of pg-extras 0.7.2 for an incident" ''
line full 'crewsnow_ops.full_health_check()' ''
line all "all $(cat "$extras/count") queries of pg-extras 0.7.2" ''
line slow 'analyze_slow_queries()' ''
printf 'Memory of a session for performance_health_check(): %d kB (goal: <= 20,480)\n' \
    "$(memory 'SELECT count(*) FROM pg_stat_activity;' \
        'SELECT count(*) FROM performance_health_check();')"
sql -d postgres -c 'DROP DATABASE bench WITH (FORCE)'
