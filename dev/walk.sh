#!/usr/bin/env bash
# Runs the runbook's working commands from tests/runbook/statements.txt and shows each answer.
. "$(dirname "$0")/lib.sh"
printf '\n--- The runbook, as the on-call engineer types it ---\n'

header=
command=
show() {
    [ -n "$command" ] || return 0
    case $header in
        *' · session · live'*)
            printf '\ncrewsnow=# %s\n' "$command"
            psql -X <<<"$command" 2>&1 || true
            ;;
        *' · live'*)
            printf '\n$ %s\n' "$command"
            bash -c "$command" </dev/null 2>&1 || true
            ;;
    esac
    command=
}
while IFS= read -r line; do
    case $line in
        '['*) header=$line command= ;;
        '#'* | '') ;;
        '=>'* | check:* | needs:*) show ;;
        *) command=${command:+$command$'\n'}$line ;;
    esac
done <tests/runbook/statements.txt
