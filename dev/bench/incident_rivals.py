#!/usr/bin/python3
"""Asks rivals about a broken server, and writes a line for each: incident, tool, milliseconds,
verdict, detail. The suite `incidents` calls it when our first view has been taken.

PGHOST, PGPORT and PGDATABASE name the server. GUILTY is a word that names the cause, such as a pid.
RIVALS is the folder with the queries of pg-extras and PgHero; OUT is the file for the lines.

A tool names the cause if the text of a check that is not OK has that word, or if the first row of
its list of blockers has it. `listed` means that another row of a list has it. Limits of time are a
second, so that a rebuild of seconds looks to the tools like minutes.
"""

import os
import re
import subprocess
import time
from pathlib import Path

HOST, PORT, DATABASE = (os.environ[name] for name in ("PGHOST", "PGPORT", "PGDATABASE"))
GUILTY = os.environ["GUILTY"]
WORD = re.compile(rf"(?<!\w){re.escape(GUILTY)}(?!\w)")
STATUS_FILE = os.environ["OUT"] + ".status"

# Actions of check_postgres that concern incidents, with the limits that it has by default, and
# limits for those that have none.
CHECK_POSTGRES = {
    "backends": [],
    "locks": [],
    "query_time": ["-w", "1 second", "-c", "1 minute"],
    "txn_idle": ["-w", "1 second", "-c", "1 minute"],
    "txn_time": ["-w", "1 second", "-c", "1 minute"],
    "prepared_txns": ["-w", "1", "-c", "30"],
    "sequence": [],
    "txn_wraparound": [],
    "autovac_freeze": [],
    "replication_slots": ["-w", "16MB", "-c", "1GB"],
    "wal_files": [],
    "archive_ready": [],
    "bloat": [],
    "disabled_triggers": [],
}
CHECK_PGACTIVITY = {
    "longest_query": ["-w", "1s", "-c", "1m"],
    "oldest_idlexact": ["-w", "1s", "-c", "1m"],
    "oldest_2pc": ["-w", "1s", "-c", "1m"],
    "oldest_xmin": ["-w", "100", "-c", "10000"],
    "max_freeze_age": ["-w", "60%", "-c", "90%"],
    "backends": ["-w", "80%", "-c", "95%"],
    "backends_status": ["-w", "waiting=5,idle_xact=20", "-c", "waiting=20,idle_xact=50"],
    "locks": ["-w", "20%", "-c", "50%"],
    "replication_slots": ["-w", "wal=2", "-c", "wal=64"],
    "sequences_exhausted": ["-w", "90%", "-c", "95%"],
    "temp_files": ["-w", "100MB", "-c", "1GB"],
    "invalid_indexes": [],
    "autovacuum": [],
    "is_replay_paused": ["-w", "1s", "-c", "1m"],
}
PROGRAM = "/usr/lib/nagios/plugins/check_pgactivity"


def record(tool, milliseconds, verdict, detail):
    line = [os.environ["INCIDENT"], tool, f"{milliseconds:.0f}", verdict, detail[:160]]
    with open(os.environ["OUT"], "a", encoding="utf-8") as out:
        out.write("\t".join(line) + "\n")


def ask_checks(tool, commands):
    """Runs each check as the tool's own scheduler would."""
    alarms, namers, started = [], [], time.monotonic()
    for name, command in commands.items():
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        # The figures behind the bar are for graphs.
        text = ran.stdout.split(" | ")[0]
        if ran.returncode in (1, 2):
            alarms.append(name)
            if WORD.search(text):
                namers.append(name)
    took = (time.monotonic() - started) * 1000
    if namers:
        record(tool, took, "named", ", ".join(namers))
    elif alarms:
        record(tool, took, "alarm only", ", ".join(alarms))
    else:
        record(tool, took, "silent", "")


def place(rows):
    """The place of the first row that has the word, from 1; 0 if none has it."""
    found = (n for n, row in enumerate(rows, 1) if WORD.search(" ".join(map(str, row))))
    return next(found, 0)


def judge_lists(tool, took, blockers, others):
    """A blocker in the first row is named; any other row only lists it."""
    if place(blockers) == 1:
        record(tool, took, "named", f"first of {len(blockers)} blockers")
        return
    for name, rows in [("blockers", blockers), *others]:
        if place(rows):
            record(tool, took, "listed", f"{name}: row {place(rows)} of {len(rows)}")
            return
    record(tool, took, "silent", "")


def ask_pg_activity():
    """pg_activity has no batch mode: its own library asks for the rows of its three screens."""
    from pgactivity.data import Data
    started = time.monotonic()
    data = Data.pg_connect(host=HOST, port=int(PORT), user="postgres", database=DATABASE)
    screens = [data.pg_get_blocking(), data.pg_get_waiting(), data.pg_get_activities()]
    took = (time.monotonic() - started) * 1000
    shown = [[[p.pid, p.application_name] for p in screen] for screen in screens]
    judge_lists("pg_activity", took, shown[0], [("waiting", shown[1]), ("running", shown[2])])


def ask_queries(tool, blocking, others):
    """Sets of SQL queries. `blocking` gives the columns of the blocker."""
    def rows(text):
        command = ["psql", "-X", "-q", "-At", "-F", "\t", "-c", text]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return [line.split("\t") for line in ran.stdout.splitlines()]
    started = time.monotonic()
    text, columns = blocking
    blockers = [row[columns] for row in rows(text)]
    lists = [(name, rows(text)) for name, text in others]
    judge_lists(tool, (time.monotonic() - started) * 1000, blockers, lists)


def ask_all():
    record("crewsnow_ops.triage", float(os.environ["OURS_MS"]), os.environ["OURS"], "")
    server = ["--host", HOST, "--port", PORT, "--dbname", DATABASE]
    ask_checks("check_postgres", {
        action: ["check_postgres", *server, "--dbuser", "postgres", "--action", action, *limits]
        for action, limits in CHECK_POSTGRES.items()
    })
    ask_checks("check_pgactivity", {
        service: [PROGRAM, "--status-file", STATUS_FILE, "-s", service, "--host", HOST, "--port",
                  PORT, "--username", "postgres", "--dbname", DATABASE, *limits]
        for service, limits in CHECK_PGACTIVITY.items()
    })
    ask_pg_activity()
    extras = Path(os.environ["RIVALS"])
    texts = {file.stem: file.read_text() for file in extras.glob("*.sql")}
    # The columns of `blocking`: blocked pid, statements and times; then those of the blocker.
    ask_queries("pg-extras", (texts["blocking"], slice(3, None)), [
        (name, texts[name]) for name in ("locks", "long_running_queries", "vacuum_stats")
    ])


ask_all()
