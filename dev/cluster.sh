#!/usr/bin/env bash
# The private demo server of `make run`: cluster.sh start | stop | env
. "$(dirname "$0")/lib.sh"
place_state
use_private_postgresql
data=$state/demo
socket=$state/socket

free_port() {
    local port
    for port in $(seq 54320 54420); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null &&
            [ ! -e "$socket/.s.PGSQL.$port" ]; then
            echo "$port"
            return
        fi
    done
    die "no free port between 54320 and 54420"
}

running() {
    [ -f "$data/postmaster.pid" ] && as_server "$pg_bin/pg_ctl" -D "$data" status >/dev/null 2>&1
}

initialise() {
    server_dir "$data"
    server_dir "$socket"
    as_server "$pg_bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale C.UTF-8
    cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$socket'
log_line_prefix = '%m [%p] %u@%d '
wal_level = logical
CONF
}

start() {
    [ -f "$data/PG_VERSION" ] || step "Creating a cluster in $data" initialise
    if ! running; then
        local port
        port=$(free_port)
        step "Starting PostgreSQL $PG on port $port" \
            as_server "$pg_bin/pg_ctl" -D "$data" -l "$data/server.log" -o "-p $port" -w start
    fi
}

case ${1:-} in
    start) start ;;
    stop)
        if running; then
            step "Stopping PostgreSQL" as_server "$pg_bin/pg_ctl" -D "$data" -m fast -w stop
        else
            echo "==> No server is running"
        fi
        ;;
    env)
        running || die "no server is running: make run"
        # The fourth line of the pid file is the port.
        port=$(sed -n 4p "$data/postmaster.pid")
        echo "export PATH='$pg_bin':\$PATH PGHOST='$socket' PGPORT=$port"
        echo "export PGUSER=postgres PGDATABASE=crewsnow"
        ;;
    *) die "usage: cluster.sh start | stop | env" ;;
esac
