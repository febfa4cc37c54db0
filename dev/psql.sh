#!/usr/bin/env bash
# Opens psql in the demo database and passes its arguments on.
set -euo pipefail
eval "$("$(dirname "$0")/cluster.sh" env)"
exec psql "$@"
