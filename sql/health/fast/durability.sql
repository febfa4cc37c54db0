-- Limits: one setting (ours). A crash then loses or damages data. Critical if others rely on the
-- server: a standby, a slot or an archive. Servers for tests have none, and set them on purpose. A
-- standby itself can be built again.
WITH
relied AS (
    SELECT concat_ws(', ',
        CASE WHEN current_setting('archive_mode') <> 'off' THEN 'WAL is archived' END,
        (SELECT format('%s standbys are connected', count(*)) FROM pg_stat_replication AS r
            HAVING count(*) > 0),
        (SELECT format('%s replication slots', count(*)) FROM pg_replication_slots AS s
            WHERE NOT s.temporary HAVING count(*) > 0)) AS reason
),
bad (name, value, level, harm) AS (
    VALUES
        ('fsync', 'off', 2, 'a crash of the machine damages the whole cluster'),
        ('full_page_writes', 'off', 2, 'a crash of the machine damages pages'),
        ('zero_damaged_pages', 'on', 2, 'a damaged page is emptied when it is read'),
        ('ignore_invalid_pages', 'on', 2, 'recovery skips damaged pages'),
        ('ignore_checksum_failure', 'on', 2, 'damaged pages are read as if they were good'),
        ('data_sync_retry', 'on', 2, 'data that a failed fsync lost count as written'),
        ('synchronous_commit', 'off', 1, 'a crash loses the last commits')
),
archive (harm) AS (
    SELECT 'archive_command keeps no file: no backup can be restored to a later point'
    WHERE current_setting('archive_mode') <> 'off'
        AND coalesce(current_setting('archive_library', true), '') = ''
        AND current_setting('archive_command') ~ '^\s*(/(usr/)?bin/)?(true|:|exit 0)\s*;?\s*$'
),
found AS (
    SELECT b.*, row_number() OVER (ORDER BY b.level DESC, b.name) AS rank,
        CASE WHEN b.level = 2 AND r.reason <> '' THEN 'CRITICAL' ELSE 'WARNING' END AS status,
        r.reason
    FROM bad AS b
    CROSS JOIN relied AS r
    WHERE current_setting(b.name, true) = b.value
        -- The session's own SET is no fault of the server. Reading all settings takes long, so it
        -- is done for a suspect only.
        AND (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = b.name) = b.value
)
SELECT
    f.status, 'setting ' || f.name AS object, f.value AS current_value,
    CASE f.value WHEN 'on' THEN 'off' ELSE 'on' END AS threshold,
    f.harm || CASE WHEN f.reason <> '' THEN '; ' || f.reason
        ELSE '; no archive, standby or slot relies on this server' END AS evidence,
    CASE WHEN f.level = 2
        THEN 'The server trades its data for speed: turn it back unless the data may be lost.'
        ELSE 'Commits are reported before they are safe: turn it back unless the last ones may be '
            'lost.'
    END AS recommendation,
    CASE WHEN f.name IN ('data_sync_retry')
        THEN format('ALTER SYSTEM RESET %I;', f.name)
        ELSE format('ALTER SYSTEM SET %I = %s; SELECT pg_catalog.pg_reload_conf();', f.name,
            CASE f.value WHEN 'on' THEN 'off' ELSE 'on' END)
    END AS next_command,
    'now' AS since
FROM found AS f
WHERE f.rank <= 5
UNION ALL
SELECT 'WARNING', 'setting archive_command', current_setting('archive_command'),
    'a command that keeps files', a.harm,
    'WAL counts as archived and is gone: set a command that keeps it, or turn archiving off.',
    'SHOW archive_command;', 'now'
FROM archive AS a
UNION ALL
SELECT 'OK', NULL, 'no such setting', 'none', 'fsync and full_page_writes are on', 'Nothing to do.',
    NULL, 'now'
WHERE NOT EXISTS (SELECT FROM found) AND NOT EXISTS (SELECT FROM archive)
