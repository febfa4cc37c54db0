#!/usr/bin/env bash
# The GDPR part of bench.sh: run_gdpr_maintenance beside one plain DELETE of the same rows, with
# other sessions' pgbench meanwhile. The demo server restarts with other settings until the end.
#   ROWS=1000000   rows that expire, of twice as many
#   ROUNDS=3       rounds; the medians are printed
#   RATE=200       transactions a second of four clients
. "$(dirname "$0")/lib.sh"
begin_part
rows=${ROWS:-1000000} rounds=${ROUNDS:-3} rate=${RATE:-200}
work=$state/bench_gdpr
rm -rf "$work"
mkdir -p "$work"
trap 'restart_demo >>"$log"' EXIT
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

new_database() {
    sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    "$pg_bin/pgbench" -i -q -s 5 bench >>"$log" 2>&1
}
# The 99th percentile of the latencies of a log from a second on, in milliseconds.
p99() { cat "$1".* | awk -v from="$2" '$5 >= from { print $3 }' | sort -n |
    awk '{ v[NR] = $1 } END { printf "%.2f\n", v[int(NR * 0.99) + 1] / 1000 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

ours() {
    sql -c 'SELECT run_gdpr_maintenance()' >"$work/report" 2>>"$log"
    # A report that says less than everything was done makes the figure worthless.
    grep -q '^GDPR maintenance completed$' "$work/report"
}
plain() { sql -c "DELETE FROM visit WHERE at < now() - interval '184 days'"; }
nobody() { sleep 5; }

# One round: the load runs a second before and as long as the work.
measure() { # measure NAME COMMAND
    local load start end
    sql -v rows="$rows" -f dev/bench/gdpr_setup.sql
    rm -f "$work/load".*
    (cd "$work" && exec "$pg_bin/pgbench" -n -c 4 -j 1 -R "$rate" -T 600 -l \
        --log-prefix="$work/load" bench >>"$log" 2>&1) &
    load=$!
    # The first seconds, while connections are made, do not count.
    sleep 2
    start=$(date +%s%N)
    "$2"
    end=$(date +%s%N)
    kill "$load" 2>/dev/null || true
    wait "$load" 2>/dev/null || true
    echo $(((end - start) / 1000000)) >>"$work/$1.time"
    p99 "$work/load" $((start / 1000000000)) >>"$work/$1.p99"
    [ "$1" = idle ] || [ "$(sql -c "SELECT count(*) <= $rows + $rows / 100 FROM visit")" = t ]
}
speed() { # speed NAME COMMAND: without other sessions
    local start end
    sql -v rows="$rows" -f dev/bench/gdpr_setup.sql
    start=$(date +%s%N)
    "$2"
    end=$(date +%s%N)
    echo $(((end - start) / 1000000)) >>"$work/$1.alone"
}

step "Restarting the demo server" restart_demo shared_buffers=1GB max_wal_size=8GB
step "Creating a database" new_database
export PGDATABASE=bench
for round in $(seq "$rounds"); do
    step "Round $round: idle" measure idle nobody
    step "Round $round: a plain DELETE" measure plain plain
    step "Round $round: run_gdpr_maintenance" measure ours ours
    step "Round $round: a plain DELETE alone" speed plain plain
    step "Round $round: run_gdpr_maintenance alone" speed ours ours
done
printf '\n%s expired rows of %s; other sessions: %s transactions/s; medians of %s rounds\n' \
    "$rows" $((2 * rows)) "$rate" "$rounds"
printf '%-22s %12s %12s %12s\n' '' 'alone, ms' 'beside, ms' 'their p99, ms'
printf '%-22s %12s %12s %12s\n' idle '' '' "$(median <"$work/idle.p99")"
for name in plain ours; do
    printf '%-22s %12s %12s %12s\n' "$name" "$(median <"$work/$name.alone")" \
        "$(median <"$work/$name.time")" "$(median <"$work/$name.p99")"
done
printf 'speed beside others: %s x a plain DELETE (goal: >= 0.5); alone: %s x\n' \
    "$(ratio "$(median <"$work/plain.time")" "$(median <"$work/ours.time")")" \
    "$(ratio "$(median <"$work/plain.alone")" "$(median <"$work/ours.alone")")"
printf 'p99 of others: %s x idle (goal: <= 1.5); of a plain DELETE: %s x\n' \
    "$(ratio "$(median <"$work/ours.p99")" "$(median <"$work/idle.p99")")" \
    "$(ratio "$(median <"$work/plain.p99")" "$(median <"$work/idle.p99")")"
