#!/usr/bin/env bash
# Runs each added or changed test on the library of the parent commit, where it must fail:
#   prove.sh [COMMIT]   the parent is COMMIT, or without an argument the commit in dev/landed
#   prove.sh record     writes the present commit to dev/landed: the first step of a new landing
# A landing may hold many commits, so the parent is the last commit of the landing before. It is
# recorded in a file because a fresh clone of main knows nothing else about it.
. "$(dirname "$0")/lib.sh"

# Without the parent's files nothing can be proved. A clone without history is no fault.
no_history() {
    printf '==> New tests were NOT run on the parent'\''s library: %s\n' "$1"
    exit 0
}

find_parent() { # find_parent COMMIT
    git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null && return
    # A shallow clone may lack the commit.
    if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = true ]; then
        timeout 120 git fetch --quiet --unshallow >>"$log" 2>&1 || true
        git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null && return
    fi
    return 1
}

if [ "${1:-}" = record ]; then
    git rev-parse HEAD >dev/landed
    exit
fi
: >"$log"
git rev-parse HEAD >/dev/null 2>&1 || no_history "this is no clone"
wanted=${1:-$(cat dev/landed)}
if ! parent=$(find_parent "$wanted"); then
    [ "$(git rev-parse --is-shallow-repository)" != true ] ||
        no_history "this shallow clone lacks $wanted"
    die "the commit $wanted does not exist; dev/prove.sh record writes another one"
fi
git merge-base --is-ancestor "$parent" HEAD || die "$wanted is no ancestor of the present commit"
if git diff --quiet "$parent" -- tests src &&
    [ -z "$(git ls-files --others --exclude-standard tests src)" ]; then
    printf '==> No test is new or changed since %s\n' "${parent:0:9}"
    exit
fi

dev/setup.sh
place_state
use_private_postgresql
work=$root/target/prove
before=$state/pg$PG-parent

# `files` is the parent as it was. `tree` is the same with the present tests.
unpack() {
    rm -rf "$work/files" "$work/tree"
    mkdir -p "$work/files"
    git archive "$parent" | tar -x -C "$work/files"
    cp -al "$work/files" "$work/tree"
    rm -rf "$work/tree/tests"
    cp -a tests "$work/tree/tests"
    ln -s "$root/target" "$work/tree/target"
}

# The dependencies are built already: links to them save minutes. The extension itself and the
# harness are not linked, because Cargo would write into the shared files. The library is built
# once, so nothing is spent on optimisation, debugger or later builds.
link_dependencies() {
    local part
    mkdir -p "$work/build/debug"
    for part in build deps .fingerprint; do
        [ -d "target/debug/$part" ] || continue
        rm -rf "$work/build/debug/$part"
        cp -al "target/debug/$part" "$work/build/debug/$part"
    done
    rm -rf "$work"/build/debug/*/*crewsnow_ops* "$work"/build/debug/*/harness-*
}

# Builds the library of a source tree, and installs it into a PostgreSQL of its own: links to the
# files of the private one, but for the extension.
build_library() { # build_library SOURCES POSTGRESQL FEATURES [OPTION...]
    local sources=$1 server=$2 features=$3
    shift 3
    link_dependencies
    rm -rf "$work/package" "$server"
    mkdir -p "$sources/.cargo"
    printf '[profile.dev.package.crewsnow_ops]\nopt-level = 0\ndebug = false\n' \
        >"$sources/.cargo/config.toml"
    (cd "$sources" && CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$work/build \
        cargo pgrx package --debug "$@" --no-default-features --features "$features" \
        --pg-config "$pg_config" --out-dir "$work/package") || return 1
    cp -al "$prefix" "$server"
    find "$server/" -name 'crewsnow_ops*' -delete
    cp -a "$work/package/$(realpath "$prefix")/." "$server/"
    printf '%s\n' "$parent" >"$server/.parent"
}

# In-server tests are functions of the library. Where they use what the parent's sources lack, the
# library cannot be built, and the tests are listed as not proved.
build_in_server() {
    local file
    rm -rf "$work/in_server"
    cp -a "$work/files" "$work/in_server"
    while read -r file; do
        [ ! -d "$work/in_server/${file%/*}" ] || cp "$file" "$work/in_server/$file"
    done < <(git ls-files 'src/**/server_tests.rs')
    build_library "$work/in_server" "$before-tests" "pg$PG pg_test" --test ||
        printf 'The library cannot be built with the present in-server tests.\n'
}

# Short names for the directories of servers: the path of a Unix socket is limited.
prove() { # prove POSTGRESQL [ARGUMENT]
    local server=$1/${pg_bin#"$prefix"/} worker
    shift
    rm -rf "$state/p" "$state"/p[0-9]
    for worker in '' 0 1 2; do server_dir "$state/p$worker"; done
    CREWSNOW_NEWEST=$(git diff --name-only HEAD~1 -- tests 2>/dev/null | xargs) \
        CREWSNOW_PARENT=$work CREWSNOW_STATE=$state/p CREWSNOW_PG_BIN=$server \
        CREWSNOW_SERVER_USER=$server_user cargo run --quiet --package harness --bin prove -- "$@"
}

step "Unpacking the parent ${parent:0:9}" unpack
read -r of_suites in_server < <(prove "$before" list)
if [ "$of_suites" != 0 ] && [ "$(cat "$before/.parent" 2>/dev/null)" != "$parent" ]; then
    step "Building the parent's library" build_library "$work/files" "$before" "pg$PG"
fi
if [ "$in_server" != 0 ]; then
    step "Building the parent's library with the present in-server tests" build_in_server
    [ -e "$before-tests/.parent" ] || export CREWSNOW_NOT_COMPILED=1
fi
failed=
printf '==> New and changed tests on the library of %s\n' "${parent:0:9}"
prove "$before" || failed=1
printf '==> New and changed in-server tests on the library of %s\n' "${parent:0:9}"
prove "$before-tests" in-server || failed=1
[ -z "$failed" ] || die "make each of these tests fail on the parent's library, or state why it
passes there, in a comment above the test:
    // passes before: REASON"
