-- Windows of planned maintenance: weekly or one-off, in local time of a zone with its DST.
CREATE TABLE crewsnow_ops.maintenance_windows (
    name text NOT NULL,
    weekday text,
    on_date date,
    local_start time NOT NULL,
    duration interval NOT NULL,
    time_zone text NOT NULL,
    summary text NOT NULL DEFAULT 'Planned maintenance',
    cancelled_dates date[] NOT NULL DEFAULT '{}',
    is_cancelled boolean NOT NULL DEFAULT false,
    window_id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    revision integer NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    changed_by text NOT NULL DEFAULT session_user,
    CONSTRAINT maintenance_windows_pkey PRIMARY KEY (name),
    CONSTRAINT maintenance_windows_window_id_key UNIQUE (window_id),
    CONSTRAINT maintenance_windows_name_check CHECK (
        pg_catalog.length(name) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(name) OPERATOR(pg_catalog.<=) 100
    ),
    CONSTRAINT maintenance_windows_day_check CHECK (
        (weekday IS NULL) OPERATOR(pg_catalog.<>) (on_date IS NULL)
    ),
    CONSTRAINT maintenance_windows_weekday_check CHECK (
        weekday OPERATOR(pg_catalog.=) ANY (ARRAY['monday', 'tuesday', 'wednesday', 'thursday',
            'friday', 'saturday', 'sunday'])
    ),
    CONSTRAINT maintenance_windows_on_date_check CHECK (
        on_date OPERATOR(pg_catalog.>=) '2000-01-01'::pg_catalog.date
        AND on_date OPERATOR(pg_catalog.<) '2200-01-01'::pg_catalog.date
    ),
    CONSTRAINT maintenance_windows_duration_check CHECK (
        duration OPERATOR(pg_catalog.>) '0'::interval
        AND duration OPERATOR(pg_catalog.<=) CASE WHEN weekday IS NULL THEN '31 days'::interval
            ELSE '7 days'::interval END
    ),
    CONSTRAINT maintenance_windows_cancelled_dates_check CHECK (
        pg_catalog.array_position(cancelled_dates, NULL) IS NULL
    ),
    CONSTRAINT maintenance_windows_summary_check CHECK (
        pg_catalog.length(summary) OPERATOR(pg_catalog.<=) 1000
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.maintenance_windows IS
    'Windows of planned maintenance. Without a row, maintenance may run at any time; with a row, '
    'only while a window is open. A window opens at local_start of its zone, and stays open for '
    'duration: through DST switches, past midnight, and without its last instant.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.name IS 'Name of the window.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.weekday IS
    'monday to sunday: the local day on which a weekly window opens. NULL for a one-off window. '
    'Capitals and three letters are accepted.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.on_date IS
    'Local date on which a one-off window opens. NULL for a weekly window.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.local_start IS
    'Local time at which it opens. PostgreSQL reads it: a time that a DST switch skips is an hour '
    'later by the clock, and of a time that comes twice the second counts.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.duration IS
    'Elapsed time from start to end; a day is 24 hours. At most 7 days, of a one-off window 31.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.time_zone IS
    'Zone of pg_timezone_names, such as Europe/Paris. Abbreviations without DST are refused.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.summary IS
    'Title of its announcements.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.cancelled_dates IS
    'Local dates on which a weekly window does not open. Calendars show them as cancelled.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.is_cancelled IS
    'Whether it never opens any more. Calendars show it as cancelled.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.window_id IS
    'Identity of the window in calendars. A change keeps it.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.revision IS
    'Number of changes, the SEQUENCE of calendars. A trigger counts.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.changed_at IS 'Time of the last change.';
COMMENT ON COLUMN crewsnow_ops.maintenance_windows.changed_by IS
    'Login role (session_user) of the last change.';
COMMENT ON CONSTRAINT maintenance_windows_pkey ON crewsnow_ops.maintenance_windows IS
    'One row per name.';
COMMENT ON CONSTRAINT maintenance_windows_window_id_key ON crewsnow_ops.maintenance_windows IS
    'One row per identity.';
COMMENT ON CONSTRAINT maintenance_windows_name_check ON crewsnow_ops.maintenance_windows IS
    'A name has 1 to 100 characters.';
COMMENT ON CONSTRAINT maintenance_windows_day_check ON crewsnow_ops.maintenance_windows IS
    'A window has either a weekday or a date.';
COMMENT ON CONSTRAINT maintenance_windows_weekday_check ON crewsnow_ops.maintenance_windows IS
    'The known weekdays.';
COMMENT ON CONSTRAINT maintenance_windows_on_date_check ON crewsnow_ops.maintenance_windows IS
    'A date from 2000 to 2199.';
COMMENT ON CONSTRAINT maintenance_windows_duration_check ON crewsnow_ops.maintenance_windows IS
    'A positive duration, at most 7 days, of a one-off window 31.';
COMMENT ON CONSTRAINT maintenance_windows_cancelled_dates_check
    ON crewsnow_ops.maintenance_windows IS 'No NULL among the dates.';
COMMENT ON CONSTRAINT maintenance_windows_summary_check ON crewsnow_ops.maintenance_windows IS
    'A summary has at most 1000 characters.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.maintenance_windows', '');

CREATE FUNCTION crewsnow_ops.maintenance_window_is_valid() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'maintenance_window_is_valid_wrapper';
COMMENT ON FUNCTION crewsnow_ops.maintenance_window_is_valid() IS
    'Trigger: checks day and zone of a window and counts its changes. Errors: 22023 with the '
    'correct statement as HINT.';
REVOKE ALL ON FUNCTION crewsnow_ops.maintenance_window_is_valid() FROM PUBLIC;
CREATE TRIGGER maintenance_window_is_valid
    BEFORE INSERT OR UPDATE ON crewsnow_ops.maintenance_windows
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.maintenance_window_is_valid();
COMMENT ON TRIGGER maintenance_window_is_valid ON crewsnow_ops.maintenance_windows IS
    'Checks day and zone; see the function.';
ALTER TABLE crewsnow_ops.maintenance_windows
    ENABLE ALWAYS TRIGGER maintenance_window_is_valid;

CREATE FUNCTION crewsnow_ops.maintenance_occurrences(p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (name text, starts_at timestamptz, ends_at timestamptz, is_cancelled boolean,
        local_date date, time_zone text, summary text)
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
-- Infinite ends would make an infinite series.
period AS (
    SELECT greatest(least(p_from, e.last), e.first) AS start,
        greatest(least(p_until, e.last), e.first) AS until
    FROM (VALUES (timestamptz '1970-01-01 00:00+00', timestamptz '2300-01-01 00:00+00'))
        AS e (first, last)
),
days AS (
    SELECT w.name, w.on_date AS day
    FROM crewsnow_ops.maintenance_windows AS w
    WHERE w.on_date IS NOT NULL
    UNION ALL
    SELECT w.name, b.start + s.step
    FROM crewsnow_ops.maintenance_windows AS w
    CROSS JOIN period AS p
    -- A window of seven days may have begun eight local days ago.
    CROSS JOIN LATERAL (SELECT (p.start AT TIME ZONE w.time_zone)::date - 9 AS start,
        (p.until AT TIME ZONE w.time_zone)::date + 1 AS until) AS b
    CROSS JOIN LATERAL generate_series(
        (array_position(ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday',
            'sunday'], w.weekday) - extract(isodow FROM b.start)::integer + 7) % 7,
        b.until - b.start, 7) AS s (step)
    WHERE w.weekday IS NOT NULL
)
SELECT w.name, o.starts_at, e.ends_at, w.is_cancelled OR d.day = ANY (w.cancelled_dates),
    d.day, w.time_zone, w.summary
FROM days AS d
JOIN crewsnow_ops.maintenance_windows AS w ON w.name = d.name
CROSS JOIN period AS p
CROSS JOIN LATERAL (SELECT (d.day + w.local_start) AT TIME ZONE w.time_zone) AS o (starts_at)
-- Seconds: the length of a day would depend on the zone of the session.
CROSS JOIN LATERAL (SELECT o.starts_at
    + make_interval(secs => extract(epoch FROM w.duration)::double precision)) AS e (ends_at)
WHERE o.starts_at < p.until AND e.ends_at > p.start
ORDER BY o.starts_at, w.name
$$;
COMMENT ON FUNCTION crewsnow_ops.maintenance_occurrences(timestamptz, timestamptz) IS
    'Each opening of a window that overlaps the time from p_from to p_until, cancelled ones '
    'included, in order. Times before 1970 and from 2300 on have none. Empty for NULL.';

CREATE FUNCTION crewsnow_ops.in_maintenance_window(at timestamptz DEFAULT pg_catalog.now())
    RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (
    SELECT FROM crewsnow_ops.maintenance_occurrences(at, at + interval '00:00:00.000001') AS o
    WHERE o.starts_at <= at AND at < o.ends_at AND NOT o.is_cancelled
)
$$;
COMMENT ON FUNCTION crewsnow_ops.in_maintenance_window(timestamptz) IS
    'Whether a window is open at that time, by default now. The start belongs to the window, the '
    'end does not. false without windows, NULL for NULL.';

CREATE FUNCTION crewsnow_ops.maintenance_announcement(p_weeks integer DEFAULT 4) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(
    string_agg(
        format('%s%s: %s to %s (%s), %s to %s UTC.',
            CASE WHEN o.is_cancelled THEN 'CANCELLED: ' ELSE '' END,
            o.summary,
            to_char(l.starts_at, 'FMDay FMDD FMMonth YYYY, HH24:MI'),
            to_char(l.ends_at, CASE WHEN l.ends_at::date = l.starts_at::date THEN 'HH24:MI'
                ELSE 'FMDay FMDD FMMonth, HH24:MI' END),
            o.time_zone,
            to_char(u.starts_at, CASE WHEN u.starts_at::date = l.starts_at::date THEN 'HH24:MI'
                ELSE 'FMDay HH24:MI' END),
            to_char(u.ends_at, CASE WHEN u.ends_at::date = u.starts_at::date THEN 'HH24:MI'
                ELSE 'FMDay HH24:MI' END)),
        E'\n' ORDER BY o.starts_at, o.name),
    format('No maintenance is planned in the next %s weeks.', least(p_weeks, 520)))
FROM crewsnow_ops.maintenance_occurrences(now(), now()
    + make_interval(hours => 168 * least(p_weeks, 520))) AS o
CROSS JOIN LATERAL (SELECT o.starts_at AT TIME ZONE o.time_zone AS starts_at,
    o.ends_at AT TIME ZONE o.time_zone AS ends_at) AS l
CROSS JOIN LATERAL (SELECT o.starts_at AT TIME ZONE 'UTC' AS starts_at,
    o.ends_at AT TIME ZONE 'UTC' AS ends_at) AS u
$$;
COMMENT ON FUNCTION crewsnow_ops.maintenance_announcement(integer) IS
    'The windows of the next p_weeks weeks (at most 520) as text for people: one line for each '
    'opening, in local time and in UTC, cancelled ones marked. NULL for NULL.';

CREATE FUNCTION crewsnow_ops.maintenance_calendar(p_weeks integer DEFAULT 26) RETURNS text
    LANGUAGE c STABLE STRICT
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'maintenance_calendar_wrapper';
COMMENT ON FUNCTION crewsnow_ops.maintenance_calendar(integer) IS
    'The windows of the next p_weeks weeks (1 to 520) as an iCalendar of single events in UTC, '
    'cancelled ones included. A changed window keeps the identity of its events. NULL for NULL. '
    'Error: 22023.';

CREATE FUNCTION crewsnow_ops.next_maintenance_now()
    RETURNS TABLE (name text, state text, open_until timestamptz, next_start timestamptz,
        next_end timestamptz, local_time text, time_zone text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH openings AS MATERIALIZED (
    SELECT o.name, o.starts_at, o.ends_at
    FROM crewsnow_ops.maintenance_occurrences(now(), now() + interval '9600 hours') AS o
    WHERE NOT o.is_cancelled
    UNION
    -- One-off windows that are further away.
    SELECT w.name, o.starts_at,
        o.starts_at + make_interval(secs => extract(epoch FROM w.duration)::double precision)
    FROM crewsnow_ops.maintenance_windows AS w
    CROSS JOIN LATERAL (SELECT (w.on_date + w.local_start) AT TIME ZONE w.time_zone)
        AS o (starts_at)
    WHERE o.starts_at > now() AND NOT w.is_cancelled AND w.on_date <> ALL (w.cancelled_dates)
)
SELECT w.name,
    CASE WHEN i.open_until IS NOT NULL THEN 'open' WHEN n.starts_at IS NOT NULL THEN 'planned'
        WHEN w.is_cancelled OR w.on_date = ANY (w.cancelled_dates) THEN 'cancelled'
        WHEN w.on_date IS NULL THEN 'cancelled' ELSE 'over' END,
    i.open_until, n.starts_at, n.ends_at,
    to_char(n.starts_at AT TIME ZONE w.time_zone, 'Dy DD Mon YYYY HH24:MI')
        || to_char(n.ends_at AT TIME ZONE w.time_zone, ' - HH24:MI'),
    w.time_zone
FROM crewsnow_ops.maintenance_windows AS w
LEFT JOIN LATERAL (SELECT max(o.ends_at) AS open_until FROM openings AS o
    WHERE o.name = w.name AND o.starts_at <= now()) AS i ON true
LEFT JOIN LATERAL (SELECT o.starts_at, o.ends_at FROM openings AS o
    WHERE o.name = w.name AND o.starts_at > now() ORDER BY o.starts_at LIMIT 1) AS n ON true
ORDER BY i.open_until IS NULL, n.starts_at, w.name
$$;
COMMENT ON FUNCTION crewsnow_ops.next_maintenance_now() IS
    'The rows of the view crewsnow_ops.next_maintenance.';
CREATE VIEW crewsnow_ops.next_maintenance AS
SELECT n.name, n.state, n.open_until, n.next_start, n.next_end, n.local_time, n.time_zone
FROM crewsnow_ops.next_maintenance_now() AS n;
COMMENT ON VIEW crewsnow_ops.next_maintenance IS
    'Each window with its next start and end. Open windows come first, then the next one.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.name IS 'Name of the window.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.state IS
    'open, planned, cancelled, or over: a one-off window that has passed.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.open_until IS
    'End of the window that is open now; NULL if it is closed.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.next_start IS
    'Next start after now; NULL if there is none within 400 days.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.next_end IS
    'End of the window that begins at next_start. It is closed at that instant.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.local_time IS
    'next_start and next_end by the clocks of time_zone.';
COMMENT ON COLUMN crewsnow_ops.next_maintenance.time_zone IS 'Zone of the window.';

REVOKE ALL ON FUNCTION
    crewsnow_ops.maintenance_occurrences(timestamptz, timestamptz),
    crewsnow_ops.in_maintenance_window(timestamptz),
    crewsnow_ops.maintenance_announcement(integer),
    crewsnow_ops.maintenance_calendar(integer),
    crewsnow_ops.next_maintenance_now() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.maintenance_windows'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.next_maintenance'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.maintenance_windows'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.next_maintenance_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.in_maintenance_window(timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.maintenance_occurrences(timestamptz, timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.maintenance_announcement(integer)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.maintenance_calendar(integer)');
