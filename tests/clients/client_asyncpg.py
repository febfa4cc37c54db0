"""asyncpg, as services use it: calls with the native types of Python, and traffic.

asyncpg asks the server for the type of each parameter and encodes the value as that type.
"""

import asyncio
import datetime
import json
import sys
import uuid
from decimal import Decimal

import asyncpg

import traffic
from traffic import IS_DIRECT, tell

# Behind a pooler of transactions no statement may stay prepared on the server connection.
CACHE = {} if IS_DIRECT else {"statement_cache_size": 0}


class Connection:
    def __init__(self, connection):
        self.connection = connection
        self.json = json.dumps

    async def value(self, sql, *arguments):
        return await self.connection.fetchval(sql, *arguments)

    async def run(self, sql, *arguments):
        await self.connection.execute(sql, *arguments)

    async def close(self):
        await self.connection.close(timeout=1)


class Driver:
    LOST = (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.ProtocolViolationError,
        asyncpg.InterfaceError,
        # The answer of asyncpg after the FATAL of an ended session, until the socket is closed.
        asyncpg.InternalClientError,
        OSError,
    )

    async def connect(self):
        return Connection(await asyncpg.connect(**CACHE))


async def outcome(work):
    try:
        await work
        return "ok"
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {error.args[0]}"
    except asyncpg.InterfaceError as error:
        return f"client: {error}"


DURATIONS = {
    "None": (None, ""),
    "int": (12, 12),
    "float": (12.5, 12.5),
    "Decimal": (Decimal("12.5"), 12.5),
}


async def events(service):
    async def event(label, sql, *arguments, expected=12.5):
        tell("call", label, expected, await outcome(service.fetchval(sql, *arguments)))

    payload = {"n": 1}
    for name, (duration, expected) in DURATIONS.items():
        label = f"log {name}"
        await event(
            label, "SELECT log_system_event($1, $2, $3::jsonb, $4, $5)", label, uuid.uuid4(),
            payload, duration, "f", expected=expected,
        )
        label = f"record {name}"
        await event(
            label, "SELECT crewsnow_ops.record_edge_call($1, $2, $3)", label, duration, 200,
            expected=expected,
        )
    for kind in ("double precision", "real", "numeric", "integer", "bigint"):
        label = f"cast {kind}"
        await event(
            label, f"SELECT log_system_event($1, $2, $3::jsonb, $4::{kind}, $5)", label,
            uuid.uuid4(), payload, 12, "f", expected=12,
        )
    await event(
        "status bigint", "SELECT crewsnow_ops.record_edge_call($1, $2, $3::bigint)",
        "status bigint", 12.5, 503,
    )
    await event("log type", "SELECT log_system_event($1)", "log type", expected="")
    columns = ["event_type", "user_id", "payload", "execution_time_ms", "created_at"]
    insert = f"INSERT INTO event_log ({', '.join(columns)}) VALUES ($1, $2, $3, $4, $5)"
    now = datetime.datetime.now(datetime.timezone.utc)

    def row(label):
        return (label, uuid.uuid4(), payload, 12.5, now)

    await event("insert", insert, *row("insert"))
    await event("insert returning", f"{insert} RETURNING id", *row("insert returning"))
    result = await outcome(service.executemany(insert, [row("many 1"), row("many 2")]))
    tell("call", "many 1", 12.5, result)
    tell("call", "many 2", 12.5, result)
    # COPY is binary, and the codec of with_json is not.
    columns.remove("payload")
    records = [("copy", uuid.uuid4(), 12.5, now)]
    copy = service.copy_records_to_table("event_log", records=records, columns=columns)
    tell("call", "copy", 12.5, await outcome(copy))

    async def prepared():
        statement = await service.prepare("SELECT log_system_event($1, $2, $3::jsonb, $4, $5)")
        for label in ("prepared 1", "prepared 2"):
            await statement.fetchval(label, None, payload, 12.5, None)

    # In a transaction, so that a pooler keeps the server connection.
    async with service.transaction():
        result = await outcome(prepared())
    tell("call", "prepared 1", 12.5, result)
    tell("call", "prepared 2", 12.5, result)


async def webhooks(service):
    async def webhook(event, status, sql, *arguments):
        tell("webhook", event, status, await outcome(service.execute(sql, event, *arguments)))

    record = "SELECT crewsnow_ops.record_stripe_webhook($1, $2, $3, $4, $5::jsonb)"
    stripe = {"object": "event"}
    await webhook("None", "received", record, "invoice.paid", None, None, stripe)
    await webhook("True", "processed", record, "invoice.paid", True, None, stripe)
    await webhook("False", "failed", record, "invoice.paid", False, "timeout", None)
    upsert = (
        "INSERT INTO processed_events (event_id, event_type, status, received_at, payload)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (event_id) DO UPDATE"
        " SET status = excluded.status, attempts = processed_events.attempts + 1"
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    for status in ("received", "failed"):
        await webhook("upsert", "failed", upsert, "invoice.paid", status, now, stripe)


async def flags(operator, flag):
    user = uuid.uuid4()

    async def change(label, sql, *arguments, expected):
        async def work():
            await operator.execute(sql, flag, *arguments)
            for value in (user, str(user)):
                is_on = "SELECT is_feature_enabled_for_user($1, $2::uuid)"
                found = await operator.fetchval(is_on, flag, value)
                assert found is expected, f"{label}, {value!r}"

        tell("flag", label, "", await outcome(work()))

    four = "SELECT update_feature_flag($1, $2, $3, $4)"
    await change("positional", four, True, 100, "deploy", expected=True)
    await change("off", four, False, None, None, expected=False)
    named = "SELECT update_feature_flag($1, p_is_enabled => $2)"
    await change("named", named, True, expected=True)
    update = "UPDATE feature_flags SET {} = $2 WHERE flag_key = $1"
    await change("percentage", update.format("rollout_percentage"), 0, expected=False)
    await change("users", update.format("target_user_ids"), [user], expected=True)
    await change("update", update.format("is_enabled"), False, expected=False)


async def with_json(connection):
    await connection.set_type_codec(
        "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
    )


async def calls(flag):
    pool = asyncpg.create_pool(user="service", min_size=1, max_size=1, init=with_json, **CACHE)
    async with pool, pool.acquire() as service:
        await events(service)
        await webhooks(service)
    operator = await asyncpg.connect(**CACHE)
    await flags(operator, flag)
    await operator.close()


if sys.argv[1] == "calls":
    asyncio.run(calls(sys.argv[2]))
else:
    traffic.run(Driver())
