#!/usr/bin/env bash
# The restore part of bench.sh: a restore test beside pg_dump | pg_restore and pg_amcheck on the
# restored database, in turn, and the memory of the test.
#   SIZES="100 1024"   megabytes of the databases
#   ROUNDS=3           rounds of each
. "$(dirname "$0")/lib.sh"
begin_part
sizes=${SIZES:-100 1024} rounds=${ROUNDS:-3}
out=$state/bench/restore
server_dir "$state/bench"
server_dir "$out"
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

# Half of the bytes are small rows with three indexes, half are texts in a TOAST table.
prepare() { # prepare MEGABYTES
    sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    sql -c 'CREATE EXTENSION crewsnow_ops' -c 'CREATE EXTENSION amcheck'
    sql -v rows="$(($1 * 2600))" -v texts="$(($1 * 90))" <<'SQL'
CREATE TABLE booking (id bigint PRIMARY KEY, guest uuid, day date, price numeric, note text);
INSERT INTO booking SELECT n, gen_random_uuid(), date '2026-01-01' + (n % 365)::int, n / 7.0,
    'guest number ' || n FROM generate_series(1, :rows) AS n;
CREATE INDEX ON booking (guest);
CREATE INDEX ON booking (day);
CREATE TABLE letter (id bigint PRIMARY KEY, body text);
ALTER TABLE letter ALTER body SET STORAGE EXTERNAL;
INSERT INTO letter SELECT n, repeat(md5(n::text), 150) FROM generate_series(1, :texts) AS n;
SQL
    sql -c 'VACUUM ANALYZE' -c 'CHECKPOINT'
}

rival() {
    sql -d postgres -c 'DROP DATABASE IF EXISTS rival WITH (FORCE)' \
        -c 'CREATE DATABASE rival TEMPLATE template0'
    "$pg_bin/pg_dump" --format=custom --compress=0 bench | "$pg_bin/pg_restore" --dbname=rival
    "$pg_bin/pg_amcheck" --heapallindexed --database=rival >>"$log"
    sql -d postgres -c 'DROP DATABASE rival WITH (FORCE)'
}

ours() {
    sql -c 'SELECT test_backup_restore_procedure()' >"$out/report" 2>>"$log"
    # A report with a fault makes the figure worthless.
    grep -q ': VALIDATED$' "$out/report"
}

# The anonymous memory of the session that tests, of its programs and of its worker, in MB: the
# maximum of samples.
watched="crewsnow_ops worker|$pg_bin/(pg_dump|pg_restore|psql)|postgres: .* bench .*SELECT"
watch_memory() {
    local sum most=0 pid kilobytes
    while sleep 0.1; do
        sum=0
        for pid in $(pgrep -f "$watched"); do
            # A process that has just ended has no such line.
            kilobytes=$(awk '/RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
            sum=$((sum + ${kilobytes:-0}))
        done
        [ "$sum" -le "$most" ] || most=$sum
        echo "$((most / 1024))" >"$out/memory"
    done
}

seconds() { # seconds NAME COMMAND
    local start
    start=$(date +%s%N)
    "$2"
    echo "$((($(date +%s%N) - start) / 1000000))" >>"$out/$1"
}

printf '%-10s %12s %26s %7s %10s\n' 'MB' 'test, ms' 'dump|restore, amcheck, ms' 'ratio' \
    'memory, MB'
for size in $sizes; do
    rm -f "$out"/*
    step "Making a database of $size MB" prepare "$size"
    watch_memory &
    watcher=$!
    ours
    kill "$watcher"
    for round in $(seq "$rounds"); do
        [ $((round % 2)) = 0 ] || seconds rival rival
        seconds ours ours
        [ $((round % 2)) = 1 ] || seconds rival rival
    done
    t=$(median <"$out/ours") v=$(median <"$out/rival")
    printf '%-10s %12s %26s %7s %10s\n' "$size" "$t" "$v" \
        "$(awk -v a="$t" -v b="$v" 'BEGIN { printf "%.2f", a / b }')" "$(cat "$out/memory")"
done
echo 'Goals: ratio <= 1.3, memory <= 64 MB'
sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)'
