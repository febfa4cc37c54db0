#!/usr/bin/env bash
# Loads the demo application and the extension into the database PGDATABASE: load_demo.sh [leaks]
set -euo pipefail
cd "$(dirname "$0")/../demo"
files=(-f schema.sql -c 'CREATE EXTENSION crewsnow_ops' -f policies.sql -f sync.sql -f data.sql
    -f telemetry.sql -f audit.sql -f e2e.sql -f retention.sql)
[ "${1:-}" != leaks ] || files+=(-f leaks.sql)
psql -X -q -v ON_ERROR_STOP=1 "${files[@]}"
