#!/usr/bin/env bash
# Measures the extension against rivals in the same run and prints the ratios. Nothing passes or
# fails. PART=flags, telemetry, retention, health, rls, incidents, maintenance, restore, gdpr,
# alerts or ablation measures one part.
. "$(dirname "$0")/lib.sh"
begin
step "Building and installing the extension" install_release
dev/cluster.sh start
parts="flags telemetry retention health rls incidents maintenance restore gdpr alerts ablation"
for part in ${PART:-$parts}; do
    "dev/bench_$part.sh"
done
