#!/usr/bin/env bash
# The retention part of bench.sh: the wait of writers while days are dropped, beside pg_partman,
# which comes from Debian. The demo server restarts with other settings until the end.
#   DAYS=15        days that each of them drops, one after another
#   ROWS=100000    events of a day
#   RATE=400       events a second that eight clients write meanwhile
. "$(dirname "$0")/lib.sh"
begin_part
days=${DAYS:-15} rows=${ROWS:-100000} rate=${RATE:-400}
out=$state/bench/retention

[ "$PG" = 15 ] || die "pg_partman 4.7 is packaged for PostgreSQL 15 only"
require_packages postgresql-15-partman
cp -a /usr/share/postgresql/15/extension/pg_partman* "$prefix/usr/share/postgresql/15/extension/"
cp -a /usr/lib/postgresql/15/lib/pg_partman* "$prefix/usr/lib/postgresql/15/lib/"

trap 'restart_demo >>"$log"' EXIT
run() { # run ARGUMENT...
    psql -X -q -v ON_ERROR_STOP=1 "$@"
}

prepare() {
    psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' \
        -c 'CREATE DATABASE bench'
    run -v days="$days" -v rows="$rows" -f dev/bench/retention_setup.sql
    server_dir "$state/bench"
    server_dir "$out"
    rm -f "$out"/*
}

# Another session reads the table in transactions of 0.3 s, with a pause of the same length.
read_on() { # read_on TABLE
    printf '%s\n' 'BEGIN;' "SELECT FROM $1 LIMIT 1;" 'SELECT pg_sleep(0.3);' 'COMMIT;' \
        '\sleep 300 ms' >"$out/reader.pgbench"
    as_server "$pg_bin/pgbench" -n -f "$out/reader.pgbench" -T 600 bench
}

# Drops a day per call while others write. Each call leaves its begin and end, as epoch.
drop_days() { # drop_days NAME TABLE READERS
    local name=$1 table=$2 readers=$3 day reader='' writer
    if [ "$readers" = 1 ]; then
        read_on "$table" &
        reader=$!
    fi
    as_server "$pg_bin/pgbench" -n -M prepared -c 8 -j 2 -R "$rate" -T 600 -l \
        --log-prefix="$out/$name.$readers" -f "$root/dev/bench/retention_$name.pgbench" bench &
    writer=$!
    sleep 3
    for day in $(seq "$days" -1 1); do
        # Called again, as a schedule does, where a reader was in the way.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            run -At -F ' ' -v days="$((first + day))" -f "dev/bench/retention_$name.sql" |
                tee -a "$out/$name.$readers.calls" | grep -q ' 0 1$' || break
        done
        sleep 1
    done
    psql -X -q -d postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'pgbench'" >/dev/null
    wait "$writer" $reader || true
}

# The longest waits of the transactions that ran during a call or 50 ms after it.
judge() { # judge NAME READERS
    local kind
    for kind in during beside; do
        cat "$out/$1.$2".*[0-9] | awk -v calls="$out/$1.$2.calls" -v kind="$kind" '
            BEGIN { while ((getline line < calls) > 0) {
                split(line, c, " "); from[++n] = c[1]; to[n] = c[2] + 0.05 } }
            { end = $5 + $6 / 1e6; start = end - $3 / 1e6; hit = 0
              for (i = 1; i <= n; i++) if (start <= to[i] && end >= from[i]) hit = 1
              if (hit == (kind == "during")) print $3 / 1000 }' | sort -n |
            awk -v name="$1" -v readers="$2" -v kind="$kind" '
                { v[NR] = $1 }
                END { printf "%-14s %-8s %-8s %8d %10.1f %10.1f %10.1f\n", name,
                    readers ? "reader" : "", kind, NR, v[int(NR / 2) + 1],
                    v[int(NR * 0.99) + 1], v[NR] }'
    done
    awk -v name="$1" -v readers="$2" '{ d += $3; t += $2 - $1; c += $4 }
        END { printf "%-14s %-8s %-8s %8d days dropped by %d calls in %.2f s\n", name,
            readers ? "reader" : "", "", d, c, t }' "$out/$1.$2.calls"
}

step "Restarting the server for the benchmark" restart_demo shared_buffers=512MB
step "Creating $((4 * days)) days of $rows events" prepare
for readers in 0 1; do
    # Half of the days go without readers, the other half with one.
    first=$((2 + days * (1 - readers)))
    step "Dropping days by retention, readers: $readers" drop_days crewsnow_ops event_log $readers
    step "Dropping days by pg_partman, readers: $readers" drop_days pg_partman bench.log $readers
done
printf '\nThe wait of writers while a day is dropped; ms; goal: p99 of crewsnow_ops <= 50\n'
printf '%-14s %-8s %-8s %8s %10s %10s %10s\n' 'dropped by' '' 'calls' 'writes' median p99 max
for readers in 0 1; do
    judge crewsnow_ops $readers
    judge pg_partman $readers
done
psql -X -q -d postgres -c 'DROP DATABASE bench WITH (FORCE)'
