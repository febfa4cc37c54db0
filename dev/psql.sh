#!/usr/bin/env bash
# psql in the demo database; arguments are passed on.
set -euo pipefail
eval "$("$(dirname "$0")/cluster.sh" env)"
exec psql "$@"
