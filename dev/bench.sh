#!/usr/bin/env bash
# Measures, and prints ratios against named rivals of the same run. PART=flags, telemetry, health,
# rls or ablation runs one part. A measurement neither passes nor fails.
. "$(dirname "$0")/lib.sh"
begin
step "Building and installing the extension" install_release
dev/cluster.sh start
for part in ${PART:-flags telemetry health rls ablation}; do
    "dev/bench_$part.sh"
done
