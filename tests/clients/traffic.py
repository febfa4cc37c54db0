"""Sessions of a service under load, for the asynchronous drivers.

A driver has a name and a list LOST of exceptions that mean a lost connection. It connects, and its
connections have value(sql, *arguments), run(sql, *arguments), json(object) and close(). SQL has
the parameters $1, $2 of the protocol.

The suite reads the printed lines. Times are of the monotonic clock, which all processes share.
"""

import asyncio
import contextlib
import os
import random
import sys
import time
import uuid
from decimal import Decimal

ROUTE = os.environ["ROUTE"]
IS_DIRECT = ROUTE == "direct"
IS_ON = "SELECT is_feature_enabled_for_user($1)"


def tell(*words):
    print(*words, sep="\t")


class Session:
    """A connection that is made again after it was lost."""

    def __init__(self, driver):
        self.driver = driver
        self.connection = None
        self.losses = 0

    async def __aenter__(self):
        self.connection = await self.driver.connect()
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(*self.driver.LOST):
            await self.connection.close()
        if self.losses:
            tell("lost", self.losses)

    async def value(self, sql, *arguments):
        return await self.connection.value(sql, *arguments)

    async def run(self, sql, *arguments):
        await self.connection.run(sql, *arguments)

    async def again(self, work):
        """Connects and works until no connection is lost. The lost one is closed first."""
        while True:
            self.losses += 1
            try:
                await self.connection.close()
            except self.driver.LOST:
                pass
            try:
                self.connection = await self.driver.connect()
                return await work()
            except self.driver.LOST:
                await asyncio.sleep(0.01)


async def flip(session, flag, until):
    """Flips one flag. After a loss, the table tells whether the flip was committed."""
    is_on = True
    way = 0
    flips = []

    async def attempt(wanted):
        sent = time.monotonic_ns()
        if way == 0:
            await session.run("SELECT update_feature_flag($1, $2)", flag, wanted)
        elif way == 1:
            await session.run(
                "UPDATE feature_flags SET is_enabled = $2 WHERE flag_key = $1", flag, wanted
            )
        else:
            await session.run("BEGIN")
            await session.run("SELECT update_feature_flag($1, $2)", flag, wanted)
            own = await session.value(IS_ON, flag)
            assert own is wanted, "a transaction sees its own flip"
            sent = time.monotonic_ns()
            await session.run("COMMIT" if way == 2 else "ROLLBACK")
        return sent

    async def stored():
        return await session.value("SELECT is_enabled FROM feature_flags WHERE flag_key = $1", flag)

    while time.monotonic() < until:
        way = (way + 1) % 4
        wanted = not is_on
        sent = time.monotonic_ns()
        try:
            sent = await attempt(wanted)
            is_flipped = way != 3
        except session.driver.LOST:
            is_flipped = await session.again(stored) is wanted
            assert way != 3 or not is_flipped, "a flip that was rolled back is not stored"
        if is_flipped:
            flips.append((sent, time.monotonic_ns(), wanted))
            is_on = wanted
        await asyncio.sleep(random.uniform(0, 0.004))
    for sent, acknowledged, value in flips:
        tell("flip", sent, acknowledged, "t" if value else "f")


async def read(session, flags, until, in_transaction):
    """Reads flags of all clients, in single statements or in transactions with an old snapshot."""
    reads = []

    async def one():
        flag = random.choice(flags)
        began = time.monotonic_ns()
        value = await session.value(IS_ON, flag)
        reads.append((flag, began, time.monotonic_ns(), value))

    async def nothing():
        pass

    while time.monotonic() < until:
        try:
            if in_transaction:
                await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            for _ in range(10):
                await one()
                await asyncio.sleep(0)
            if in_transaction:
                await session.run("COMMIT")
        except session.driver.LOST:
            await session.again(nothing)
    for flag, began, ended, value in reads:
        tell("read", flag, began, ended, "t" if value else "f")


async def record(session, name, until):
    """Writes calls. After a loss, a call is written again unless it is stored."""
    number = 0
    user = uuid.uuid4()

    async def write(call):
        payload = session.connection.json({"call": call, "status_code": 200})
        duration = Decimal("12.5")
        if number % 3 == 0:
            await session.run(
                "SELECT log_system_event($1, $2, $3, $4, $5)", "edge_function_call", user,
                payload, duration, name,
            )
        elif number % 3 == 1:
            await session.run(
                "SELECT crewsnow_ops.record_edge_call($1, $2, 200, p_payload => $3)",
                name, duration, payload,
            )
        else:
            await session.run("BEGIN")
            await session.run(
                "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload)"
                " VALUES ('edge_function_call', $1, $2, $3)", name, duration, payload,
            )
            await session.run("COMMIT")

    async def complete(call):
        if not await session.value(
            "SELECT EXISTS (SELECT FROM event_log WHERE payload ->> 'call' = $1)", call
        ):
            await write(call)

    while time.monotonic() < until:
        call = f"{name}-{number}"
        try:
            await write(call)
        except session.driver.LOST:
            await session.again(lambda: complete(call))
        tell("event", call)
        number += 1
        await asyncio.sleep(0.002)


async def handle_webhooks(session, name, until):
    """Stores webhooks as received, then their outcome. A loss repeats both statements."""
    number = 0

    async def handle(event, has_failed):
        status = "failed" if has_failed else "processed"
        if number % 2 == 0:
            outcome = "SELECT crewsnow_ops.record_stripe_webhook($1, 'invoice.paid', $2)"
            await session.run(outcome, event, None)
            await session.run(outcome, event, not has_failed)
        else:
            await session.run(
                "INSERT INTO processed_events (event_id, event_type, status) VALUES ($1,"
                " 'invoice.paid', 'received') ON CONFLICT (event_id) DO UPDATE"
                " SET attempts = processed_events.attempts + 1", event,
            )
            await session.run(
                "UPDATE processed_events SET status = $2, processed_at = clock_timestamp()"
                " WHERE event_id = $1", event, status,
            )
        return status

    while time.monotonic() < until:
        event = f"evt-{name}-{number}"
        has_failed = number % 10 == 0
        try:
            status = await handle(event, has_failed)
        except session.driver.LOST:
            status = await session.again(lambda: handle(event, has_failed))
        tell("webhook", event, status)
        number += 1
        await asyncio.sleep(0.004)


async def sessions(driver, flag, seconds):
    flags = os.environ["FLAGS"].split(",")
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Session(driver)) for _ in range(5)]
        print("ready", flush=True)
        sys.stdin.readline()
        until = time.monotonic() + seconds
        await asyncio.gather(
            flip(opened[0], flag, until),
            read(opened[1], flags, until, in_transaction=False),
            read(opened[2], flags, until, in_transaction=True),
            record(opened[3], flag, until),
            handle_webhooks(opened[4], flag, until),
        )


def run(driver):
    """Flips the flag argv[2] for argv[3] seconds, and reads, records and handles meanwhile."""
    asyncio.run(sessions(driver, sys.argv[2], float(sys.argv[3])))
