#!/usr/bin/env bash
# The telemetry part of bench.sh. The demo server restarts with other settings until the end.
#   ROWS=3600000     events in an hour
#   SCALE=10         measures the views over ten times as many, too: half an hour and 30 GB
#   BULK=1000000     events written at once
#   ROUNDS=21        runs of a rival
#   SECONDS_EACH=3   length of a run of pgbench
# These are the defaults, except for SCALE.
. "$(dirname "$0")/lib.sh"
begin_part
rows=${ROWS:-3600000} bulk=${BULK:-1000000} rounds=${ROUNDS:-21} seconds=${SECONDS_EACH:-3}

trap 'restart_demo >>"$log"' EXIT
run() { # run SQL...: each statement in a transaction of its own
    local sql
    for sql in "$@"; do psql -X -q -v ON_ERROR_STOP=1 -c "$sql"; done
}
file() { # file NAME VARIABLE=VALUE...
    local name=$1
    shift
    psql -X -q -v ON_ERROR_STOP=1 "${@/#/-v}" -f "dev/bench/telemetry_$name.sql"
}

prepare() {
    psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' \
        -c 'CREATE DATABASE bench'
    file setup "bulk=$bulk"
    # Rolling up also creates the partitions of the coming days.
    run 'SELECT crewsnow_ops.roll_up_events()'
}

# INSERT and COPY into the log and into the bare table in turn, then the roll-up of the inserts.
write_at_once() {
    local round command targets target
    server_dir "$state/bench"
    run "COPY (SELECT * FROM bench.written) TO '$state/bench/events'"
    for round in 1 2 3 4 5; do
        for command in insert copy; do
            targets='log bare'
            [ $((round % 2)) = 1 ] || targets='bare log'
            for target in $targets; do
                run 'TRUNCATE event_log, bench.bare' CHECKPOINT \
                    "CALL bench.write('$command', '$target', '$state/bench/events')"
                [ "$command $target" != 'insert log' ] || run "CALL bench.roll_up('roll-up')"
            done
        done
    done
    run 'TRUNCATE event_log, bench.bare'
    rm -f "$state/bench/events"
}

# Like a driver: parameters in the prepared protocol, quoted literals in the simple one.
values=(type=edge_function_call user=6e9f1c3e-5a0b-4c3e-9d55-0d6c1f2b7a11 ms=81.237
    function=function-7
    'payload={"status_code": 200, "region": "eu-central-1"}')
singly() { # singly SCRIPT PROTOCOL OPTION...
    local script=$1 protocol=$2 quote='' value given=()
    shift 2
    [ "$protocol" = prepared ] || quote="'"
    for value in "${values[@]}"; do given+=(-D "${value%%=*}=$quote${value#*=}$quote"); done
    "$pg_bin/pgbench" -n -M "$protocol" "${given[@]}" -f "dev/bench/telemetry_$script.pgbench" "$@"
}
write_singly() {
    local protocol commit clients round script tps
    # Short runs in turn, so that a disturbance hits both sides.
    for round in $(seq 11); do
        run CHECKPOINT
        for protocol in prepared simple; do
            for commit in on off; do
                for clients in 1 8; do
                    for script in function bare; do
                        tps=$(PGOPTIONS="-c synchronous_commit=$commit" \
                            singly $script $protocol -T "$seconds" -c $clients -j $clients |
                            sed -n 's/^tps = \([0-9.]*\).*/\1/p')
                        run "INSERT INTO bench.results (what, value)
                            VALUES ('$script, $protocol, $commit, $clients', $tps)"
                    done
                done
            done
        done
    done
    run 'TRUNCATE event_log, bench.bare'
}

# An hour of events, rolled up, and 2,000 newer ones. The hour ends when loading is done, which
# takes SECONDS for 3.6 million rows.
hour_of_events() { # hour_of_events ROWS SECONDS
    local ending="clock_timestamp() + interval '$(($1 * $2 / 3600000 + 5)) seconds'"
    run 'TRUNCATE event_log' VACUUM "CALL bench.load_events($1, $ending)" \
        "CALL bench.roll_up('roll-up of $1')" 'VACUUM ANALYZE'
    singly call prepared -t 2000 -D "bulk=$bulk"
}
hour_of_webhooks() { # hour_of_webhooks ROWS SECONDS
    local ending="clock_timestamp() + interval '$(($1 * $2 / 3600000 + 5)) seconds'"
    run 'TRUNCATE processed_events' "CALL bench.load_webhooks($1, $ending)" \
        "CALL bench.roll_up('')" 'VACUUM ANALYZE'
    singly webhook prepared -t 2000
}
against_raw() { # against_raw events|webhooks
    "hour_of_$1" "$rows" 90
    file views "what=$1" 'when=alone' "rounds=$rounds"
    file "$1" "rounds=$rounds"
}
# Events short enough to fit into gaps of older blocks.
short_ones() {
    run "CALL bench.roll_up('')" VACUUM
    singly function prepared -t 2000
    file views what=events 'when=short ones' "rounds=$rounds"
}
ten_times() { # ten_times events|webhooks SECONDS
    "hour_of_$1" "${rows}0" "$2"
    file views "what=$1" 'when=ten times as many' "rounds=$rounds"
    run 'TRUNCATE event_log, processed_events'
}

step "Restarting the server for the benchmark" restart_demo shared_buffers=1GB max_wal_size=8GB \
    checkpoint_timeout=1h autovacuum=off
step "Creating events to write" prepare
step "Writing $bulk events at once, and rolling them up" write_at_once
step "Writing events singly" write_singly
step "Measuring the views over an hour of $rows events" against_raw events
step "Measuring them with short events uncounted" short_ones
step "Measuring the view over an hour of $rows webhooks" against_raw webhooks
if [ "${SCALE:-1}" = 10 ]; then
    step "Measuring the views over an hour of ${rows}0 events" ten_times events 30
    step "Measuring the view over an hour of ${rows}0 webhooks" ten_times webhooks 75
fi
psql -X -q -f dev/bench/telemetry_report.sql
psql -X -q -d postgres -c 'DROP DATABASE bench WITH (FORCE)'
