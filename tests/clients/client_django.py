"""Django on psycopg 3: models that inspectdb makes from the tables. Django saves whole rows.

The suite reads the printed lines, as those of traffic.py.
"""

import datetime
import io
import os
import re
import sys
import types
import uuid

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.models import BooleanField, Func, Value

from traffic import IS_DIRECT, tell


def database(user):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "NAME": os.environ["PGDATABASE"],
        "USER": user,
        # Behind a pooler of transactions, a cursor of the server is lost with the connection.
        "DISABLE_SERVER_SIDE_CURSORS": not IS_DIRECT,
    }


settings.configure(
    DATABASES={"default": database("oncall"), "service": database("service")}, USE_TZ=True
)
django.setup()

# inspectdb guesses a text for an array, and asks to correct each guess.
GUESS = re.compile(r"models\.TextField\(.*\)  # This field type is a guess\.")
ARRAYS = {"target_user_ids": "models.UUIDField()"}
KEY = "id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_comment='Id of the event"


def models():
    """The models that inspectdb prints, corrected where it asks for it."""
    printed = io.StringIO()
    call_command("inspectdb", "feature_flags", "event_log", "processed_events", stdout=printed)
    lines = []
    for line in printed.getvalue().splitlines():
        name = line.strip().split(" ")[0]
        element = ARRAYS.get(name, "models.TextField()")
        lines.append(GUESS.sub(f"ArrayField({element}, default=list)", line))
    source = "\n".join(lines).replace("class Meta:", "class Meta:\n        app_label = 'ops'")
    # The table of events has no primary key, and Django wants one.
    source = source.replace("id = models.UUIDField(db_comment='Id of the event", KEY)
    module = types.ModuleType("ops")
    head = "import uuid\nfrom django.contrib.postgres.fields import ArrayField\n"
    exec(head + source, vars(module))
    return module


def outcome(work):
    try:
        work()
        return "ok"
    except DatabaseError as error:
        cause = error.__cause__
        return f"{getattr(cause, 'sqlstate', None)} {str(error).splitlines()[0]}"


def events(ops, now):
    def event(label, work):
        tell("call", label, 12.5, outcome(work))

    def model(label, **columns):
        return ops.EventLog(
            event_type=label, payload={"n": 1}, execution_time_ms=12.5, created_at=now, **columns
        )

    event("save", lambda: model("save", user_id=uuid.uuid4()).save(using="service"))
    event("bulk", lambda: ops.EventLog.objects.using("service").bulk_create([model("bulk")]))

    def sql(label):
        with connections["service"].cursor() as cursor:
            cursor.execute("SELECT log_system_event(%s, NULL, NULL, %s)", [label, 12.5])

    event("sql", lambda: sql("sql"))

    def procedure(label):
        with connections["service"].cursor() as cursor:
            cursor.callproc("log_system_event", [label, None, '{"n": 1}', 12.5, "f"])

    event("callproc", lambda: procedure("callproc"))


def webhooks(ops, now):
    events = ops.ProcessedEvents.objects.using("service")

    def model(label, status):
        return ops.ProcessedEvents(
            event_id=label, event_type="invoice.paid", status=status, attempts=1,
            processed_at=now, received_at=now, payload={"object": "event"},
        )

    def save():
        webhook = model("save", "received")
        webhook.save(using="service")
        webhook.status = "failed"
        webhook.save(using="service")

    tell("webhook", "save", "failed", outcome(save))

    def upsert():
        for status in ("received", "processed"):
            events.bulk_create(
                [model("upsert", status)], update_conflicts=True, unique_fields=["event_id"],
                update_fields=["status", "processed_at"],
            )

    tell("webhook", "upsert", "processed", outcome(upsert))

    def create():
        columns = {"event_type": "x", "status": "processed", "attempts": 1, "processed_at": now}
        events.get_or_create(event_id="create", defaults=columns)
        events.update_or_create(event_id="create", defaults={**columns, "status": "failed"})

    tell("webhook", "create", "failed", outcome(create))


def flags(ops, key):
    user = uuid.uuid4()

    def get():
        return ops.FeatureFlags.objects.get(flag_key=key)

    def is_on(value):
        call = Func(
            Value(key), Value(value), function="is_feature_enabled_for_user",
            output_field=BooleanField(),
        )
        return ops.FeatureFlags.objects.annotate(is_on=call).values_list("is_on", flat=True)[0]

    def change(label, expected, work):
        def whole():
            work()
            for value in (user, str(user)):
                assert is_on(value) is expected, f"{label}, {value!r}"

        tell("flag", label, "", outcome(whole))

    def save(**columns):
        flag = get()
        for name, value in columns.items():
            setattr(flag, name, value)
        flag.save()

    change("save", True, lambda: save(is_enabled=True))
    change("percentage", False, lambda: save(rollout_percentage=0))
    change("users", True, lambda: save(target_user_ids=[user]))
    change("reviewed", True, lambda: save(last_checked_at=datetime.datetime.now(datetime.UTC)))

    def kill():
        ops.FeatureFlags.objects.filter(flag_key=key).update(is_enabled=False)

    change("kill", False, kill)

    def save_stale():
        save(is_enabled=True, rollout_percentage=100)
        stale = get()
        kill()
        stale.description = "a better text"
        stale.save()

    refused = outcome(save_stale)
    is_refused = refused.startswith("40001") and not is_on(user)
    tell("flag", "stale save", "", "ok" if is_refused else f"not refused: {refused}")


def calls(key):
    ops = models()
    now = datetime.datetime.now(datetime.UTC)
    events(ops, now)
    webhooks(ops, now)
    flags(ops, key)


if sys.argv[1] == "calls":
    calls(sys.argv[2])
