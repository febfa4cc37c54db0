#!/usr/bin/env bash
# The maintenance part of bench.sh: rotten tables beside vacuumdb with the same options and cost
# limits, and 10,000 tables with nothing to do. ROTTEN=, ROWS=, TABLES= and ROUNDS=6 choose other
# numbers. The demo server restarts without autovacuum until the end.
. "$(dirname "$0")/lib.sh"
begin_part
rotten=${ROTTEN:-30} rows=${ROWS:-40000} tables=${TABLES:-10000} rounds=${ROUNDS:-6}
work=$state/bench_maintenance
rm -rf "$work"
mkdir -p "$work"
trap 'restart_demo >>"$log"' EXIT
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

new_database() {
    sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    sql -c 'CREATE EXTENSION crewsnow_ops'
}
prepare() {
    new_database
    "$pg_bin/pgbench" -i -q -s 5 >>"$log" 2>&1
    # The load itself must not become work: both would vacuum its tables in the middle.
    for table in accounts branches tellers history; do
        sql -c "ALTER TABLE pgbench_$table SET (autovacuum_enabled = off)"
    done
    sql -v rotten="$rotten" -v rows="$rows" <<'SQL'
SELECT format($$
    CREATE TABLE rotten_%s (id int PRIMARY KEY, a int, pad text);
    INSERT INTO rotten_%1$s SELECT i, i, repeat('x', 100) FROM generate_series(1, %s) AS i
$$, n, :rows) FROM generate_series(1, :rotten) AS n \gexec
SQL
    sql -c 'VACUUM ANALYZE'
}
# Every third row dies, on all pages, and the caches are those of an update.
rot() {
    sql -v rotten="$rotten" <<'SQL'
SELECT format('UPDATE rotten_%s SET a = a + 1 WHERE id %% 3 = 0', n)
FROM generate_series(1, :rotten) AS n \gexec
SELECT pg_stat_force_next_flush();
CHECKPOINT;
SQL
}
# The 99th percentile of the latencies of a log, in milliseconds.
p99() { cat "$1".* | awk '{ print $3 }' | sort -n |
    awk '{ v[NR] = $1 } END { printf "%.2f\n", v[int(NR * 0.99) + 1] / 1000 }'; }

ours() {
    sql -c 'SELECT run_performance_maintenance()' >"$work/report" 2>>"$log"
    # A report that says less than everything was done makes the figure worthless.
    grep -q '^Performance maintenance completed$' "$work/report"
}
vacuumdb_same() {
    local names
    names=$(seq -f '-t rotten_%.0f' "$rotten")
    # shellcheck disable=SC2086
    PGOPTIONS="$PGOPTIONS -c vacuum_cost_delay=2ms" "$pg_bin/vacuumdb" -q --analyze \
        --skip-locked --no-truncate --no-process-toast --parallel=0 $names -d bench >>"$log" 2>&1
}
# One round: the load runs a second before and as long as the work.
measure() { # measure NAME COMMAND
    local load start end
    rot
    rm -f "$work/load".*
    (cd "$work" && exec "$pg_bin/pgbench" -n -c 2 -j 1 -R 150 -T 600 -l \
        --log-prefix="$work/load" >>"$log" 2>&1) &
    load=$!
    sleep 1
    rm -f "$work/load".*.old
    start=$(date +%s%N)
    "$2"
    end=$(date +%s%N)
    kill "$load" 2>/dev/null || true
    wait "$load" 2>/dev/null || true
    echo $(((end - start) / 1000000)) >>"$work/$1.time"
    p99 "$work/load" >>"$work/$1.p99"
}
idle_p99() {
    rm -f "$work/load".*
    (cd "$work" && "$pg_bin/pgbench" -n -c 2 -j 1 -R 150 -T 5 -l \
        --log-prefix="$work/load" >>"$log" 2>&1)
    p99 "$work/load"
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
milliseconds() { # milliseconds COMMAND...
    local start
    start=$(date +%s%N)
    "$@"
    echo $((($(date +%s%N) - start) / 1000))
}

step "Restarting the demo server without autovacuum" \
    restart_demo autovacuum=off max_wal_size=4GB checkpoint_timeout=1h
step "Making $rotten tables of $rows rows" prepare
# The first run analyzes the catalogs; only the rotten tables are left for the rounds.
ours || true
# In turns, and each is the first in every other round.
for round in $(seq "$rounds"); do
    [ $((round % 2)) = 0 ] || measure vacuumdb vacuumdb_same
    measure ours ours
    [ $((round % 2)) = 1 ] || measure vacuumdb vacuumdb_same
done
echo
echo "VACUUM ANALYZE of $rotten tables of $rows rows, a third dead, under pgbench at 150/s;" \
    "medians of $rounds"
t=$(median <"$work/ours.time") v=$(median <"$work/vacuumdb.time")
echo "run_performance_maintenance $t ms, vacuumdb $v ms: ratio $(ratio "$t" "$v") (goal <= 1.1)"
t=$(median <"$work/ours.p99") v=$(median <"$work/vacuumdb.p99")
echo "pgbench p99 $t ms, beside vacuumdb $v ms: ratio $(ratio "$t" "$v") (goal <= 1.2);" \
    "alone $(idle_p99) ms"

make_many() {
    new_database
    sql -v tables="$tables" <<'SQL'
SELECT format('CREATE TABLE idle_%s (id int PRIMARY KEY, a text)', n)
FROM generate_series(1, :tables) AS n \gexec
SQL
    sql -c 'VACUUM ANALYZE'
    ours || true
}
vacuumdb_all() { "$pg_bin/vacuumdb" -q --analyze -d bench >>"$log" 2>&1; }
step "Making $tables tables with nothing to do" make_many
for _ in $(seq "$rounds"); do milliseconds ours >>"$work/idle.ours"; done
v=$(milliseconds vacuumdb_all)
t=$(median <"$work/idle.ours")
echo
echo "Nothing to do on $tables tables: run_performance_maintenance $((t / 1000)) ms," \
    "vacuumdb --analyze $((v / 1000)) ms: ratio $(ratio "$v" "$t") (goal >= 50)"
