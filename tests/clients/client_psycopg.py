"""psycopg 3, as services use it: calls with the native types of Python, and traffic."""

import datetime
import ipaddress
import sys
import uuid
from decimal import Decimal

import psycopg
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Float4, Int4, Int8
from psycopg_pool import ConnectionPool

import traffic
from traffic import IS_DIRECT, tell

# Behind a pooler of transactions no statement may stay prepared on the server connection.
PREPARE = {"prepare_threshold": 0 if IS_DIRECT else None}


class Connection:
    def __init__(self, connection):
        self.connection = connection
        self.json = Jsonb

    async def value(self, sql, *arguments):
        cursor = await self.connection.execute(sql, arguments or None)
        return (await cursor.fetchone())[0]

    async def run(self, sql, *arguments):
        await self.connection.execute(sql, arguments or None)

    async def close(self):
        await self.connection.close()


class Driver:
    LOST = (psycopg.OperationalError,)

    async def connect(self):
        return Connection(
            await psycopg.AsyncConnection.connect(
                autocommit=True, cursor_factory=psycopg.AsyncRawCursor, **PREPARE
            )
        )


def outcome(work):
    try:
        work()
        return "ok"
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.message_primary or error}"


LOG = "SELECT log_system_event(%s, %s, %s, %s, %s)"
RECORD = "SELECT crewsnow_ops.record_edge_call(%s, %s, %s)"
WEBHOOK = "SELECT crewsnow_ops.record_stripe_webhook(%s, %s, %s, %s, %s)"
DURATIONS = {
    "None": (None, ""),
    "int": (12, 12),
    "Int8": (Int8(12), 12),
    "float": (12.5, 12.5),
    "Float4": (Float4(12.5), 12.5),
    "Decimal": (Decimal("12.5"), 12.5),
    "str": ("12.5", 12.5),
}


def events(service):
    def event(label, sql, arguments, expected=""):
        tell("call", label, expected, outcome(lambda: service.execute(sql, arguments)))

    for name, (duration, expected) in DURATIONS.items():
        label = f"log {name}"
        event(label, LOG, (label, uuid.uuid4(), Jsonb({"n": 1}), duration, "f"), expected)
        label = f"record {name}"
        event(label, RECORD, (label, duration, 200), expected)
    for name, status in {"Int4": Int4(503), "Int8": Int8(503), "str": "503"}.items():
        label = f"status {name}"
        event(label, RECORD, (label, 12.5, status), 12.5)
    for name, payload in {"text": '{"n": 1}', "None": None}.items():
        label = f"payload {name}"
        event(label, LOG, (label, None, payload, 12.5, None), 12.5)
    event("log type", "SELECT log_system_event(%s)", ("log type",))
    event("log strings", LOG, ("log strings", str(uuid.uuid4()), '{"n": 1}', "12.5", "f"), 12.5)
    event(
        "log named",
        "SELECT log_system_event(p_event_type => %s, p_execution_time_ms => %s)",
        ("log named", Decimal("12.5")),
        12.5,
    )
    event(
        "log date_part",
        "SELECT log_system_event(%s, NULL, NULL,"
        " date_part('milliseconds', interval '12.5 milliseconds'))",
        ("log date_part",),
        12.5,
    )
    event(
        "record all",
        "SELECT crewsnow_ops.record_edge_call(%s, %s, %s, %s, %s, %s, %s, %s)",
        ("record all", 12.5, 200, uuid.uuid4(), "/pay", ipaddress.ip_address("192.0.2.1"),
         "agent", Jsonb({"n": 1})),
        12.5,
    )
    columns = "event_type, user_id, payload, execution_time_ms, function_name, created_at"
    insert = f"INSERT INTO event_log ({columns}) VALUES (%s, %s, %s, %s, %s, %s)"
    now = datetime.datetime.now(datetime.timezone.utc)

    def row(label):
        return (label, uuid.uuid4(), Jsonb({"n": 1}), 12.5, "f", now)

    event("insert", insert, row("insert"), 12.5)
    event("insert returning", f"{insert} RETURNING id", row("insert returning"), 12.5)

    def own_id():
        key = uuid.uuid4()
        service.execute(
            "INSERT INTO event_log (id, event_type, execution_time_ms) VALUES (%s, %s, %s)",
            (key, "own id", 12.5),
        )
        found = service.execute(
            "SELECT EXISTS (SELECT FROM event_log WHERE id = %s AND created_at > %s)", (key, now)
        )
        assert found.fetchone() == (True,), "the service finds its event"

    tell("call", "own id", 12.5, outcome(own_id))

    def many():
        service.cursor().executemany(insert, [row("many 1"), row("many 2")])

    result = outcome(many)
    tell("call", "many 1", 12.5, result)
    tell("call", "many 2", 12.5, result)

    def pipeline():
        with service.pipeline():
            for label in ("pipeline 1", "pipeline 2"):
                service.execute(RECORD, (label, 12.5, 200))

    result = outcome(pipeline)
    tell("call", "pipeline 1", 12.5, result)
    tell("call", "pipeline 2", 12.5, result)

    def copy():
        with service.cursor().copy(f"COPY event_log ({columns}) FROM STDIN") as stream:
            stream.write_row(row("copy"))

    tell("call", "copy", 12.5, outcome(copy))


def webhooks(service):
    def webhook(event, status, sql, arguments):
        tell("webhook", event, status, outcome(lambda: service.execute(sql, arguments)))

    stripe = Jsonb({"object": "event"})
    webhook("None", "received", WEBHOOK, ("None", "invoice.paid", None, None, stripe))
    webhook("True", "processed", WEBHOOK, ("True", "invoice.paid", True, None, stripe))
    webhook("False", "failed", WEBHOOK, ("False", "invoice.paid", False, "timeout", None))
    insert = "INSERT INTO processed_events (event_id, event_type, status, received_at, payload)"
    now = datetime.datetime.now(datetime.timezone.utc)
    row = ("insert", "invoice.paid", "received", now, stripe)
    webhook("insert", "received", f"{insert} VALUES (%s, %s, %s, %s, %s)", row)
    upsert = (
        f"{insert} VALUES (%s, %s, %s, %s, %s) ON CONFLICT (event_id)"
        " DO UPDATE SET status = excluded.status, attempts = processed_events.attempts + 1"
    )
    for status in ("received", "failed"):
        webhook("upsert", "failed", upsert, ("upsert", "invoice.paid", status, now, stripe))


def flags(operator, flag):
    user = uuid.uuid4()

    def is_on(value):
        sql = "SELECT is_feature_enabled_for_user(%s, %s)"
        return operator.execute(sql, (flag, value)).fetchone()[0]

    def change(label, sql, arguments, expected):
        def work():
            operator.execute(sql, arguments)
            for value in (user, str(user), str(user).upper()):
                assert is_on(value) is expected, f"{label}, {value!r}"

        tell("flag", label, "", outcome(work))

    four = "SELECT update_feature_flag(%s, %s, %s, %s)"
    change("positional", four, (flag, True, 100, "deploy"), True)
    change("off", four, (flag, False, None, None), False)
    change("named", "SELECT update_feature_flag(%s, p_is_enabled => %s)", (flag, True), True)
    update = "UPDATE feature_flags SET {} = %s WHERE flag_key = %s"
    change("percentage", update.format("rollout_percentage"), (0, flag), False)
    change("users", update.format("target_user_ids"), ([user], flag), True)
    change("reviewed", update.format("last_checked_at"), (datetime.datetime.now(), flag), True)
    change("update", update.format("is_enabled"), (False, flag), False)


def calls(flag):
    settings = {"autocommit": True, **PREPARE}
    with ConnectionPool(kwargs={"user": "service", **settings}, min_size=1, max_size=1) as pool:
        with pool.connection() as service:
            events(service)
            webhooks(service)
    with psycopg.connect(**settings) as operator:
        flags(operator, flag)


if sys.argv[1] == "calls":
    calls(sys.argv[2])
else:
    traffic.run(Driver())
