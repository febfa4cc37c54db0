#!/usr/bin/env bash
# The alerts part of bench.sh: a tick beside its queries alone, and the detection of a planted
# failure and of a storm beside Prometheus and Alertmanager (Debian's packages). Both look at the
# same table.
#   ROUNDS=20    rounds of the tick; the medians are printed
#   TRIALS=5     planted failures
#   STORM=1000   subjects of the storm
. "$(dirname "$0")/lib.sh"
begin_part
rounds=${ROUNDS:-20} trials=${TRIALS:-5} storm=${STORM:-1000}
work=$state/bench_alerts
rm -rf "$work"
mkdir -p "$work"
require_packages prometheus prometheus-alertmanager
helpers=()
trap 'kill "${helpers[@]}" 2>/dev/null || true' EXIT
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
now() { date +%s.%N; }

sql -d postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
sql -f dev/bench/alerts_setup.sql

# The queries of the rules, as one script of a session.
write_queries() {
    sql -c "SELECT query || ';' FROM crewsnow_ops.alert_rules WHERE is_enabled ORDER BY name" \
        >"$work/queries.sql"
}
milliseconds() { # milliseconds FILE ROUNDS: the time of a script in an open session, each round
    {
        echo '\set QUIET on'
        echo "\\i $1"
        for ((round = 0; round < $2; round++)); do
            echo 'SELECT pg_sleep(1.1);'
            echo 'SELECT clock_timestamp() AS begun \gset'
            echo "\\o /dev/null"
            echo "\\i $1"
            echo '\o'
            echo "SELECT 'took ' || extract(epoch FROM clock_timestamp() - :'begun') * 1000;"
        done
    } | psql -X -q -At | sed -n 's/^took //p' | median
}
echo 'SELECT * FROM crewsnow_ops.tick();' >"$work/tick.sql"
# In turn, so that a machine that changes its pace changes both.
in_turn() {
    local round part
    echo '\set QUIET on'
    for ((round = 0; round <= rounds; round++)); do
        for part in queries tick; do
            echo 'SELECT pg_sleep(1.1);'
            echo 'SELECT clock_timestamp() AS begun \gset'
            echo "\\o /dev/null"
            echo "\\i $work/$part.sql"
            echo '\o'
            echo "SELECT '$part$round ' || extract(epoch FROM clock_timestamp() - :'begun') * 1000;"
        done
    done
}
beside_queries() { # beside_queries LABEL
    write_queries
    # The first round fills caches.
    in_turn | psql -X -q -At | sed '/^queries0 /d; /^tick0 /d' >"$work/in_turn"
    alone=$(sed -n 's/^queries[0-9]* //p' "$work/in_turn" | median)
    ticked=$(sed -n 's/^tick[0-9]* //p' "$work/in_turn" | median)
    printf '50 rules, %s: tick %.1f ms, their queries alone %.1f ms, ratio %s\n' \
        "$1" "$ticked" "$alone" "$(ratio "$ticked" "$alone")"
}
beside_queries 'of 20 rows each'
sql -f dev/bench/alerts_real.sql
beside_queries 'the built-in ones among them'
sql -c "UPDATE crewsnow_ops.alert_rules SET every = '1 hour'" -f "$work/tick.sql" >>"$log"
idle=$(milliseconds "$work/tick.sql" "$rounds")
printf 'idle tick %.1f ms\n' "$idle"

# Detection. Prometheus reads the table through a page of metrics, as an exporter would.
sql -c "UPDATE crewsnow_ops.alert_rules SET is_enabled = false" -f dev/bench/alerts_queue.sql
python3 dev/bench/alerts_rival.py "$work" &
helpers+=($!)
cat >"$work/prometheus.yml" <<YML
global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: ['$work/rules.yml']
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:59093']}]}]}
scrape_configs: [{job_name: bench, static_configs: [{targets: ['127.0.0.1:59100']}]}]
YML
cat >"$work/rules.yml" <<YML
groups:
  - name: bench
    rules:
      - {alert: Queue, expr: 'queue_depth{kind="trial"} > 5', labels: {severity: critical}}
      - {alert: Storm, expr: 'queue_depth{kind="storm"} > 5', labels: {severity: critical}}
YML
cat >"$work/alertmanager.yml" <<YML
route:
  receiver: bench
  group_by: [subject]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes: [{matchers: ['alertname="Storm"'], group_by: [alertname], receiver: bench}]
receivers: [{name: bench, webhook_configs: [{url: 'http://127.0.0.1:59100/notify'}]}]
YML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address=127.0.0.1:59090 >>"$log" 2>&1 &
helpers+=($!)
prometheus-alertmanager --config.file="$work/alertmanager.yml" --storage.path="$work/am" \
    --cluster.listen-address= --web.listen-address=127.0.0.1:59093 >>"$log" 2>&1 &
helpers+=($!)
(while sleep 5; do sql -c 'SELECT * FROM crewsnow_ops.tick()' >>"$work/ticks" 2>&1; done) &
helpers+=($!)
sleep 20

ours_at() { sql -c "SELECT extract(epoch FROM min(n.at)) FROM crewsnow_ops.alert_events AS e
    JOIN crewsnow_ops.alert_events AS n ON n.group_id = e.group_id AND n.event = 'notice'
    WHERE e.subject = '$1' AND e.event = 'firing'"; }
theirs_at() { awk -v subject="$1" '$2 == subject { print $1; exit }' "$work/notified" 2>/dev/null; }
for ((trial = 1; trial <= trials; trial++)); do
    sleep "$((RANDOM % 15)).$((RANDOM % 10))"
    sql -c "INSERT INTO queue VALUES ('trial', 'trial-$trial', 20)"
    planted=$(now)
    until [ -n "$(ours_at "trial-$trial")" ] && [ -n "$(theirs_at "trial-$trial")" ]; do
        sleep 1
        [ "$(awk -v a="$(now)" -v b="$planted" 'BEGIN { print (a - b > 180) }')" = 0 ] ||
            die "trial $trial was not detected by both"
    done
    awk -v a="$(ours_at "trial-$trial")" -v b="$planted" 'BEGIN { print a - b }' >>"$work/ours"
    awk -v a="$(theirs_at "trial-$trial")" -v b="$planted" 'BEGIN { print a - b }' \
        >>"$work/theirs"
    sql -c "DELETE FROM queue WHERE kind = 'trial'"
    sleep 12
done
ours=$(median <"$work/ours") theirs=$(median <"$work/theirs")
printf 'detection: %.1f s with a tick each 5 s, Prometheus and Alertmanager %.1f s: %s times\n' \
    "$ours" "$theirs" "$(ratio "$theirs" "$ours")"

# The storm: a quarter of the subjects each 20 s, watched for 7 minutes.
began=$(sql -c 'SELECT coalesce(max(event_id), 0) FROM crewsnow_ops.alert_events')
: >"$work/notified"
for part in 0 1 2 3; do
    sql -c "INSERT INTO queue SELECT 'storm', 'storm-' || n, 20
        FROM generate_series($storm / 4 * $part + 1, $storm / 4 * ($part + 1)) AS n"
    sleep 20
done
sleep 340
ours=$(sql -c "SELECT count(*) FROM crewsnow_ops.alert_events
    WHERE event = 'notice' AND event_id > $began")
theirs=$(wc -l <"$work/notified")
printf 'storm of %s subjects in 7 min: %s notices, Alertmanager %s\n' "$storm" "$ours" "$theirs"
