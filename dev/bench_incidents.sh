#!/usr/bin/env bash
# The incidents part of bench.sh: each incident of the suite `incidents` is rebuilt, and rivals are
# asked about the same broken server before the cure. check_postgres, check_pgactivity and
# pg_activity come from Debian, the queries of pg-extras from its crate.
. "$(dirname "$0")/lib.sh"
: >"$log"
place_state
use_private_postgresql
out=$state/incidents.tsv

require_packages check-postgres check-pgactivity pg-activity
step "Fetching the queries of pg-extras" fetch_pg_extras
# The queries for an incident, with the set's own default values.
queries=$state/pg-extras/incidents
mkdir -p "$queries"
for name in blocking locks long_running_queries vacuum_stats; do
    sed 's/;[[:space:]]*$//; s/%{schema}/public/; s/%{limit}/10/' \
        "$state/pg-extras/queries/$name.sql" >"$queries/$name.sql"
done

rebuild() {
    server_dir "$state/test"
    rm -f "$out"*
    CREWSNOW_PG_BIN=$pg_bin CREWSNOW_STATE=$state/test CREWSNOW_SERVER_USER=$server_user \
        CREWSNOW_INCIDENT_HOOK=$root/dev/bench/incident_rivals.py OUT=$out RIVALS=$queries \
        cargo test --package harness --no-fail-fast --test incidents -- --test-threads=1 ||
        echo 'A verdict of the suite is wrong; the answers of the rivals hold all the same.'
}
step "Rebuilding incidents and asking rivals" rebuild

tools='crewsnow_ops.triage check_postgres check_pgactivity pg_activity pg-extras'
awk -F '\t' -v tools="$tools" '
    BEGIN { count = split(tools, tool, " ") }
    !($1 in seen) { seen[$1] = 1; incident[++rows] = $1 }
    { answer[$1, $2] = $4; total[$2] += $3; named[$2] += $4 == "named" }
    END {
        for (t = 0; t <= count; t++) printf "%-*s", t ? 20 : 34, t ? tool[t] : "incident"
        print ""
        for (r = 1; r <= rows; r++) {
            printf "%-34s", incident[r]
            for (t = 1; t <= count; t++) printf "%-20s", answer[incident[r], tool[t]]
            print ""
        }
        printf "%-34s", "named the cause, of " rows
        for (t = 1; t <= count; t++) printf "%-20s", named[tool[t]]
        printf "\n%-34s", "mean ms of all its checks"
        for (t = 1; t <= count; t++) printf "%-20.0f", total[tool[t]] / rows
        print ""
    }' "$out"
printf 'Details of each answer: %s\n' "$out"
