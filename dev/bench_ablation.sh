#!/usr/bin/env bash
# Measures each optimisation that bypasses the server's interface, switched on and off in turn in
# one run, on the demo server, which has other settings meanwhile. Defaults: ROWS=3000000 events,
# TABLES=3000, ROUNDS=15, SECONDS_EACH=2 of a run of pgbench.
. "$(dirname "$0")/lib.sh"
begin_part
rows=${ROWS:-3000000} tables=${TABLES:-3000} rounds=${ROUNDS:-15} seconds=${SECONDS_EACH:-2}
results=$state/bench_ablation

trap 'restart_demo >>"$log"' EXIT
sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

prepare() {
    sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    sql -v bulk=100000 -f dev/bench/telemetry_setup.sql
    # A partition that holds now: direct insert leaves the default partition to SQL.
    sql -c "CREATE TABLE today PARTITION OF event_log
            FOR VALUES FROM ('yesterday') TO ('tomorrow')" \
        -c 'CREATE INDEX today_brin ON today USING brin (tx, created_at)'
    rm -f "$results"
}

values=(type=edge_function_call user=6e9f1c3e-5a0b-4c3e-9d55-0d6c1f2b7a11 ms=81.237
    function=function-7 'payload={"status_code": 200, "region": "eu-central-1"}')
ingest() {
    local round clients commit switch switches value what options tps given=()
    for value in "${values[@]}"; do given+=(-D "$value"); done
    for round in $(seq 5); do
        switches='on off'
        [ $((round % 2)) = 1 ] || switches='off on'
        sql -c CHECKPOINT
        for commit in on off; do
            for clients in 1 8; do
                for switch in $switches; do
                    options="-c synchronous_commit=$commit -c crewsnow_ops.direct_insert=$switch"
                    tps=$(PGOPTIONS=$options "$pg_bin/pgbench" -n -M prepared "${given[@]}" \
                        -T "$seconds" -c $clients -j $clients \
                        -f dev/bench/telemetry_function.pgbench |
                        sed -n 's/^tps = \([0-9.]*\).*/\1/p')
                    what="log_system_event, $clients client(s), synchronous_commit $commit"
                    what="$what, events/s"
                    printf '%s\tdirect_insert %s\t%s\n' "$what" "$switch" "$tps" >>"$results"
                done
            done
        done
    done
    # Without commits, pgbench and the disk: 10,000 events in one statement.
    sql -v rounds="$rounds" -f dev/bench/ablation_write.sql
    sql -c 'TRUNCATE event_log'
}

# An hour of events, rolled up. Then 2,000 new ones: appended by the function, or in gaps, where a
# plain INSERT of short rows finds room after VACUUM.
views() {
    sql -c "CALL bench.load_events($rows, clock_timestamp())" -c "CALL bench.roll_up('')" \
        -c 'VACUUM ANALYZE event_log' -c "CALL bench.roll_up('')" -c "CALL bench.roll_up('')"
    local appended="SELECT log_system_event(
        event_type, NULL, payload, execution_time_ms, function_name)
        FROM bench.events WHERE n <= 2000"
    sql -c "$appended" >/dev/null
    sql -v case='2,000 appended' -v rounds="$rounds" -f dev/bench/ablation_views.sql
    sql -c "CALL bench.roll_up('')" -c "CALL bench.roll_up('')" \
        -c "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload)
            SELECT event_type, function_name, execution_time_ms, payload
            FROM bench.events WHERE n <= 2000"
    sql -v case='2,000 in gaps' -v rounds="$rounds" -f dev/bench/ablation_views.sql
    # As many summaries as ten times the events have.
    sql -c "CALL bench.roll_up('')" -c "CALL bench.roll_up('')" -c 'DROP INDEX today_brin' \
        -c 'CREATE INDEX today_brin ON today USING brin (tx, created_at)
            WITH (pages_per_range = 13)' \
        -c "$appended" >/dev/null
    sql -v case='2,000 appended, ten times the summaries' -v rounds="$rounds" \
        -f dev/bench/ablation_views.sql
    sql -At -F $'\t' -c "SELECT what || ', ms', variant, ms FROM bench.ablation" >>"$results"
}

in_session() { # in_session SWITCH CALLS STATEMENT: milliseconds of the last of so many calls
    {
        for _ in $(seq 2 "$2"); do echo "SELECT count(*) FROM ($3) AS s \\g /dev/null"; done
        echo "SELECT clock_timestamp() AS started \\gset"
        echo "SELECT count(*) FROM ($3) AS s \\g /dev/null"
        echo "SELECT extract(epoch FROM clock_timestamp() - :'started') * 1000;"
    } | PGOPTIONS="-c crewsnow_ops.direct_catalog_scans=$1" psql -X -q -At 2>>"$log" | tail -n 1
}
catalogs() { # catalogs CASE STATEMENT...
    local case=$1 round calls statement switch switches
    shift
    for round in $(seq "$rounds"); do
        switches='on off'
        [ $((round % 2)) = 1 ] || switches='off on'
        for statement in "$@"; do
            for calls in 1 3; do
                for switch in $switches; do
                    printf '%s, %s, call %s of a session, ms\tdirect_catalog_scans %s\t%s\n' \
                        "${statement#SELECT \* FROM }" "$case" "$calls" "$switch" \
                        "$(in_session "$switch" "$calls" "$statement")" >>"$results"
                done
            done
        done
    done
}
health() {
    sql -d postgres -c 'DROP DATABASE bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    sql -c 'CREATE EXTENSION crewsnow_ops'
    sql -v tables="$tables" <<'SQL'
SET synchronous_commit = off;
SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, a int, b text)', n)
FROM generate_series(1, :tables) AS n \gexec
SQL
    sql -c 'VACUUM ANALYZE pg_class' -c 'VACUUM ANALYZE pg_index' -c 'VACUUM ANALYZE pg_attribute'
    catalogs "$tables tables" 'SELECT * FROM performance_health_check()'
}
report() {
    python3 - "$results" <<'PY'
import collections, statistics, sys
seen = collections.defaultdict(list)
for line in open(sys.argv[1]):
    what, variant, value = line.rstrip("\n").split("\t")
    seen[what, variant].append(float(value))
print(f'{"measured (medians)":<84} {"switched off":<20} {"on":>9} {"off":>9} {"off/on":>7}  runs')
for (what, variant), values in seen.items():
    if variant == "on" or variant.endswith(" on"):
        continue
    base = seen.get((what, variant[:-4] + " on")) or seen[what, "on"]
    on, off = statistics.median(base), statistics.median(values)
    switch = variant.removesuffix(" off")
    print(f"{what:<84} {switch:<20} {on:9.2f} {off:9.2f} {off / on:7.2f}  {len(values)}")
for (what, variant), values in seen.items():
    if what.startswith("BRIN by"):
        median = statistics.median(values)
        print(f'{what:<84} {"":<20} {median:9.2f} {"":>9} {"":>7}  {len(values)}')
PY
    echo "Load averages at the end: $(cut -d ' ' -f 1-3 /proc/loadavg)"
}

step "Restarting the server for the benchmark" restart_demo shared_buffers=1GB max_wal_size=8GB \
    checkpoint_timeout=1h autovacuum=off
step "Making events to write" prepare
step "Writing events with and without direct_insert" ingest
step "Reading $rows events with and without brin_summaries and wal_skip" views
step "Checking $tables tables with and without direct_catalog_scans" health
report
sql -d postgres -c 'DROP DATABASE bench WITH (FORCE)'
