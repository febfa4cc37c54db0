"""SQLAlchemy on psycopg 3: an application that maps the reflected tables, under its own load.

The suite reads the printed lines, as those of traffic.py.
"""

import datetime
import os
import random
import sys
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from sqlalchemy import BigInteger, MetaData, Table, create_engine, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import DBAPIError, SAWarning
from sqlalchemy.orm import Session, registry
from sqlalchemy.orm.attributes import flag_modified

from traffic import IS_DIRECT, tell

# A type that SQLAlchemy cannot reflect is a warning.
warnings.simplefilter("error", SAWarning)


def engine_of(user):
    prepare = 1 if IS_DIRECT else None
    return create_engine(
        "postgresql+psycopg://", connect_args={"user": user, "prepare_threshold": prepare}
    )


class Flag:
    pass


class Event:
    pass


class Webhook:
    pass


def map_tables(engine):
    """Maps the tables as they are. event_log has no primary key, so its id is named as one."""
    metadata = MetaData()

    def reflected(name):
        return Table(name, metadata, autoload_with=engine)

    mapper = registry()
    mapper.map_imperatively(Flag, reflected("feature_flags"))
    events = reflected("event_log")
    mapper.map_imperatively(Event, events, primary_key=[events.c.id, events.c.created_at])
    mapper.map_imperatively(Webhook, reflected("processed_events"))
    return metadata.tables


def outcome(work):
    try:
        work()
        return "ok"
    except DBAPIError as error:
        return f"{error.orig.sqlstate} {error.orig.diag.message_primary or error.orig}"


def flag_of(session, key):
    return session.scalars(select(Flag).filter_by(flag_key=key)).one()


def is_on(session, key, *user):
    return session.scalar(select(func.is_feature_enabled_for_user(key, *user)))


def events(engine):
    def event(label, call, expected=12.5):
        def work():
            with Session(engine) as session, session.begin():
                session.scalar(select(call))

        tell("call", label, expected, outcome(work))

    payload = literal({"n": 1}, JSONB)
    durations = {
        "None": (None, ""),
        "int": (12, 12),
        "bigint": (literal(12, BigInteger), 12),
        "float": (12.5, 12.5),
        "Decimal": (Decimal("12.5"), 12.5),
    }
    for name, (duration, expected) in durations.items():
        label = f"log {name}"
        call = func.log_system_event(label, uuid.uuid4(), payload, duration, "f")
        event(label, call, expected)
        label = f"record {name}"
        event(label, func.crewsnow_ops.record_edge_call(label, duration, 200), expected)
    label = "status bigint"
    event(label, func.crewsnow_ops.record_edge_call(label, 12.5, literal(503, BigInteger)))
    event("log type", func.log_system_event("log type"), "")


def mapped_rows(engine, tables):
    now = datetime.datetime.now(datetime.timezone.utc)

    def save(label, **columns):
        def work():
            with Session(engine) as session:
                event = Event()
                values = {"event_type": label, "execution_time_ms": 12.5, **columns}
                for name, value in values.items():
                    setattr(event, name, value)
                session.add(event)
                session.commit()

        tell("call", label, 12.5, outcome(work))

    # SQLAlchemy asks for the primary key that the server chose: INSERT ... RETURNING id.
    save("mapped", payload={"n": 1}, user_id=uuid.uuid4(), ip_address="192.0.2.1")
    save("mapped whole", id=uuid.uuid4(), created_at=now, payload={"n": 1}, tx=None)

    def many():
        with engine.begin() as connection:
            rows = [{"event_type": f"many {n}", "execution_time_ms": 12.5} for n in (1, 2)]
            connection.execute(tables["event_log"].insert(), rows)

    result = outcome(many)
    tell("call", "many 1", 12.5, result)
    tell("call", "many 2", 12.5, result)

    def webhook():
        with Session(engine) as session:
            event = Webhook()
            event.event_id, event.event_type, event.status = "mapped", "invoice.paid", "received"
            event.payload, event.received_at = {"object": "event"}, now
            session.add(event)
            session.commit()

    tell("webhook", "mapped", "received", outcome(webhook))

    def upsert():
        table = tables["processed_events"]
        with engine.begin() as connection:
            for status in ("received", "failed"):
                row = insert(table).values(event_id="upsert", event_type="x", status=status)
                changed = {"status": row.excluded.status, "attempts": table.c.attempts + 1}
                connection.execute(row.on_conflict_do_update(index_elements=["event_id"],
                                                             set_=changed))

    tell("webhook", "upsert", "failed", outcome(upsert))


def flags(engine, key, columns):
    user = uuid.uuid4()

    def change(label, expected, work):
        def whole():
            with Session(engine) as session, session.begin():
                work(session)
            with Session(engine) as session:
                for value in (user, str(user)):
                    assert is_on(session, key, value) is expected, f"{label}, {value!r}"

        tell("flag", label, "", outcome(whole))

    def assign(column, value):
        return lambda session: setattr(flag_of(session, key), column, value)

    def call(*arguments):
        return lambda session: session.scalar(select(func.update_feature_flag(key, *arguments)))

    change("positional", True, call(True, 100, "deploy"))
    change("off", False, call(False))
    change("save", True, assign("is_enabled", True))
    change("percentage", False, assign("rollout_percentage", 0))
    change("users", True, assign("target_user_ids", [user]))

    def save_stale():
        with Session(engine) as session:
            stale = flag_of(session, key)
            session.expunge(stale)
        with Session(engine) as session, session.begin():
            call(False)(session)
        with Session(engine) as session, session.begin():
            session.add(stale)
            stale.description = "a better text"
            for column in columns:
                flag_modified(stale, column)

    refused = outcome(save_stale)
    with Session(engine) as session:
        is_refused = refused.startswith("40001") and not is_on(session, key)
    tell("flag", "stale save", "", "ok" if is_refused else f"not refused: {refused}")


def calls(key):
    # The service may not read the tables, so it reflects nothing.
    operator = engine_of("oncall")
    tables = map_tables(operator)
    service = engine_of("service")
    events(service)
    mapped_rows(service, tables)
    flags(operator, key, tables["feature_flags"].columns.keys())


class Lasting:
    """Repeats work of one session until the connection holds. The pool connects again."""

    def __init__(self, engine):
        self.engine = engine
        self.losses = 0

    def __call__(self, work, complete):
        attempt = work
        while True:
            try:
                with Session(self.engine) as session:
                    return attempt(session)
            except DBAPIError as error:
                state = error.orig.sqlstate or "08000"
                if not state.startswith(("08", "57")):
                    raise
                self.losses += 1
                attempt = complete
                time.sleep(0.01)


def flip(lasting, key, until):
    value = True
    way = 0
    flips = []
    while time.monotonic() < until:
        way = (way + 1) % 3
        wanted = not value
        sent = time.monotonic_ns()

        def work(session):
            nonlocal sent
            if way == 0:
                session.scalar(select(func.update_feature_flag(key, wanted)))
            else:
                flag_of(session, key).is_enabled = wanted
                session.flush()
                assert is_on(session, key) is wanted, "a transaction sees its own flip"
            sent = time.monotonic_ns()
            session.rollback() if way == 2 else session.commit()
            return way != 2

        if lasting(work, lambda session: flag_of(session, key).is_enabled is wanted):
            flips.append(("flip", sent, time.monotonic_ns(), "t" if wanted else "f"))
            value = wanted
        time.sleep(random.uniform(0, 0.004))
    return flips


def read(lasting, keys, until):
    reads = []

    def several(session):
        for _ in range(10):
            key = random.choice(keys)
            began = time.monotonic_ns()
            value = is_on(session, key)
            reads.append(("read", key, began, time.monotonic_ns(), "t" if value else "f"))

    while time.monotonic() < until:
        lasting(several, lambda session: None)
    return reads


def record(lasting, name, until):
    lines = []
    number = 0
    while time.monotonic() < until:
        call = f"{name}-{number}"

        def write(session):
            event = Event()
            event.event_type, event.function_name = "edge_function_call", name
            event.payload = {"call": call, "status_code": 200}
            event.execution_time_ms = Decimal("12.5")
            session.add(event)
            session.commit()

        def complete(session):
            stored = select(Event.id).where(Event.payload["call"].astext == call)
            if session.scalars(stored).first() is None:
                write(session)

        lasting(write, complete)
        lines.append(("event", call))
        number += 1
        time.sleep(0.002)
    return lines


def handle_webhooks(lasting, name, until):
    lines = []
    number = 0
    while time.monotonic() < until:
        event = f"evt-{name}-{number}"
        status = "failed" if number % 10 == 0 else "processed"

        def handle(session):
            webhook = session.get(Webhook, event)
            if webhook is None:
                webhook = Webhook()
                webhook.event_id, webhook.event_type = event, "invoice.paid"
                webhook.status = "received"
                session.add(webhook)
                session.commit()
            webhook.status = status
            webhook.processed_at = func.clock_timestamp()
            session.commit()

        lasting(handle, handle)
        lines.append(("webhook", event, status))
        number += 1
        time.sleep(0.004)
    return lines


def traffic(key, seconds):
    engine = engine_of("oncall")
    map_tables(engine)
    keys = os.environ["FLAGS"].split(",")
    roles = [(flip, key), (read, keys), (record, key), (handle_webhooks, key)]
    lasting = [Lasting(engine) for _ in roles]
    print("ready", flush=True)
    sys.stdin.readline()
    until = time.monotonic() + seconds

    with ThreadPoolExecutor(len(roles)) as threads:
        played = [
            threads.submit(role, each, argument, until)
            for (role, argument), each in zip(roles, lasting)
        ]
    for lines in played:
        for line in lines.result():
            tell(*line)
    tell("lost", sum(each.losses for each in lasting))


if sys.argv[1] == "calls":
    calls(sys.argv[2])
else:
    traffic(sys.argv[2], float(sys.argv[3]))
