-- Limits: 85 % and 95 % (check_postgres) of what the sequence, or the smaller type of the column it feeds, can hold. Cycling ones never end.
-- Reading a sequence locks it until the transaction ends (16 fit the fast path, the rest fill the lock table), so the fast check reads a few: those
-- of small types first, of these the most used, of the others the oldest: large ones that feed small columns come from before PostgreSQL 10,
-- which had no small ones. None that somebody else holds so that we would wait.
WITH
ascending AS (
    SELECT s.seqrelid, s.seqtypid, s.seqmin, s.seqmax, s.seqincrement
    FROM pg_sequence AS s
    WHERE NOT s.seqcycle AND s.seqincrement > 0
    ORDER BY s.seqmax > 4294967296, CASE WHEN s.seqmax <= 4294967296 THEN pg_stat_get_blocks_fetched(s.seqrelid) END DESC, s.seqrelid
    LIMIT @most@
),
sequences AS MATERIALIZED (
    SELECT a.*, has_sequence_privilege(a.seqrelid, 'SELECT, USAGE') AS is_readable
    FROM ascending AS a
    JOIN pg_class AS c ON c.oid = a.seqrelid
    WHERE NOT pg_is_other_temp_schema(c.relnamespace) AND NOT (pg_is_in_recovery() AND c.relpersistence = 'u')
),
-- The column by ownership (serial, identity), or by a default that calls nextval.
feeds AS (
    SELECT DISTINCT ON (s.seqrelid) s.*, f.relid, f.attnum
    FROM sequences AS s
    LEFT JOIN LATERAL (
        SELECT d.refobjid AS relid, d.refobjsubid AS attnum, 0 AS place
        FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.objsubid = 0 AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
        UNION ALL
        SELECT a.adrelid, a.adnum, 1
        FROM pg_depend AS d
        JOIN pg_attrdef AS a ON a.oid = d.objid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid AND d.classid = 'pg_attrdef'::regclass
    ) AS f ON true
    ORDER BY s.seqrelid, f.place
),
limited AS (
    SELECT f.*, a.attname, a.atttypid,
        least(f.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE f.seqmax END)::numeric AS most
    FROM feeds AS f
    LEFT JOIN pg_attribute AS a ON a.attrelid = f.relid AND a.attnum = f.attnum
),
finite AS MATERIALIZED (
    SELECT l.* FROM limited AS l WHERE l.most <= 4294967296
),
read AS MATERIALIZED (
    SELECT f.*, pg_sequence_last_value(f.seqrelid)::numeric AS value
    FROM finite AS f
    WHERE f.is_readable
        AND NOT EXISTS (
            SELECT FROM pg_locks AS l
            WHERE l.relation = f.seqrelid AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        )
),
counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM read) AS read, (SELECT count(*) FROM finite AS f WHERE NOT f.is_readable) AS hidden,
        (SELECT count(*) FROM finite AS f WHERE f.is_readable) - (SELECT count(*) FROM read) AS locked,
        a.in_all, l.looked_at, a.small > l.small AS is_short
    FROM (
        SELECT count(*) AS in_all, count(*) FILTER (WHERE s.seqmax <= 4294967296) AS small
        FROM pg_sequence AS s
        WHERE NOT s.seqcycle AND s.seqincrement > 0
    ) AS a
    CROSS JOIN (SELECT count(*) AS looked_at, count(*) FILTER (WHERE s.seqmax <= 4294967296) AS small FROM ascending AS s) AS l
),
judged AS (
    SELECT r.*, 100 * (r.value - r.seqmin + 1) / (r.most - r.seqmin + 1) AS percent
    FROM read AS r
    WHERE r.value - r.seqmin + 1 >= 0.85 * (r.most - r.seqmin + 1)
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.percent DESC) AS place, count(*) OVER () AS found FROM judged AS j
)
SELECT
    CASE WHEN r.percent >= 95 THEN 'CRITICAL' ELSE 'WARNING' END AS status, 'sequence ' || r.seqrelid::regclass AS object,
    format('%s %%', round(r.percent, 1)) AS current_value, format('< 85 %% of %s', r.most) AS threshold,
    format('at %s, increment %s, type %s', r.value, r.seqincrement, r.seqtypid::regtype)
        || CASE WHEN r.relid IS NOT NULL THEN format(', feeds %s.%I (%s)', r.relid::regclass, r.attname, r.atttypid::regtype) ELSE '' END
        || CASE WHEN r.place = 1 AND r.found > 5 THEN format('; %s more sequences', r.found - 5) ELSE '' END AS evidence,
    'When it is used up, every INSERT fails: give column and sequence the type bigint (this rewrites the table under a lock: plan it).'
        AS recommendation,
    concat_ws(E'\n',
        CASE WHEN r.seqtypid <> 'int8'::regtype THEN format('ALTER SEQUENCE %s AS bigint;', r.seqrelid::regclass)
            WHEN r.seqmax <= 4294967296 THEN format('ALTER SEQUENCE %s NO MAXVALUE;', r.seqrelid::regclass) END,
        CASE WHEN r.atttypid IN ('int2'::regtype, 'int4'::regtype)
            THEN format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint;', r.relid::regclass, r.attname) END) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT
    CASE WHEN c.hidden > 0 OR c.locked > 0 OR c.is_short THEN 'SKIPPED' ELSE 'OK' END, NULL,
    CASE WHEN c.hidden = 0 OR c.read > 0 THEN format('%s below 85 %%', c.read - (SELECT count(*) FROM ranked)) END, '< 85 %',
    concat_ws(', ', format('%s of %s sequences can end within 2^32 and were read', c.read, c.in_all),
        CASE WHEN c.hidden > 0 THEN c.hidden || ' may not be read by this role' END,
        CASE WHEN c.locked > 0 THEN c.locked || ' are locked by others' END,
        CASE WHEN c.in_all > c.looked_at THEN format('only %s were looked at, those of small types first', c.looked_at) END),
    CASE WHEN c.hidden > 0 THEN 'Let this role read the sequences.' WHEN c.is_short THEN 'The others may be used up: look at all.'
        WHEN c.locked > 0 THEN 'Look again when nobody alters them.'
        ELSE 'Nothing to do.' END,
    CASE WHEN c.hidden > 0 THEN format('GRANT pg_read_all_data TO %I;', current_user)
        WHEN c.is_short THEN 'SELECT * FROM crewsnow_ops.full_health_check() WHERE metric = ''All Sequences'';' END,
    'now'
FROM counted AS c
WHERE c.hidden > 0 OR c.locked > 0 OR c.is_short OR NOT EXISTS (SELECT FROM ranked)
