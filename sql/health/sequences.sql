-- Limits: 85 % and 95 % (check_postgres) of the range of the sequence, or of the smaller type of
-- the column that it feeds. Cycling sequences never run out. Reading a sequence locks it until the
-- transaction ends: 16 such locks fit the fast path, the rest fill the lock table. Hence the fast
-- check reads only some. Sequences of small types come first, the most used of them first, then the
-- others by age. Large sequences that feed small columns date from before PostgreSQL 10, which had
-- no small ones. A sequence that another session has locked is not read, because the check would
-- wait.
--
-- The first command takes no lock on a table. A sequence below the limit of its column is extended.
-- Else the negative half of the column's type gives time: it is as large as the positive one, and
-- counts up to the start of the sequence.
WITH
ascending AS (
    SELECT s.seqrelid, s.seqtypid, s.seqstart, s.seqmin, s.seqmax, s.seqincrement
    FROM pg_sequence AS s
    WHERE NOT s.seqcycle AND s.seqincrement > 0
    ORDER BY s.seqmax > 4294967296,
        CASE WHEN s.seqmax <= 4294967296 THEN pg_stat_get_blocks_fetched(s.seqrelid) END DESC,
        s.seqrelid
    LIMIT @row_limit@
),
sequences AS MATERIALIZED (
    SELECT a.*, has_sequence_privilege(a.seqrelid, 'SELECT, USAGE') AS is_readable
    FROM ascending AS a
    JOIN pg_class AS c ON c.oid = a.seqrelid
    WHERE NOT pg_is_other_temp_schema(c.relnamespace)
        AND NOT (pg_is_in_recovery() AND c.relpersistence = 'u')
),
-- A sequence feeds a column that owns it (serial, identity) or whose default calls nextval.
fed_columns AS (
    SELECT DISTINCT ON (s.seqrelid) s.*, f.relid, f.attnum
    FROM sequences AS s
    LEFT JOIN LATERAL (
        SELECT d.refobjid AS relid, d.refobjsubid AS attnum, 0 AS preference
        FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.objsubid = 0
            AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
        UNION ALL
        SELECT a.adrelid, a.adnum, 1
        FROM pg_depend AS d
        JOIN pg_attrdef AS a ON a.oid = d.objid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid
            AND d.classid = 'pg_attrdef'::regclass
    ) AS f ON true
    ORDER BY s.seqrelid, f.preference
),
limited AS (
    SELECT f.*, a.attname, a.atttypid,
        least(f.seqmax,
            CASE a.atttypid
                WHEN 'int2'::regtype THEN 32767
                WHEN 'int4'::regtype THEN 2147483647 ELSE f.seqmax END)::numeric AS max_value
    FROM fed_columns AS f
    LEFT JOIN pg_attribute AS a ON a.attrelid = f.relid AND a.attnum = f.attnum
),
finite AS MATERIALIZED (
    SELECT l.* FROM limited AS l WHERE l.max_value <= 4294967296
),
sequences_read AS MATERIALIZED (
    SELECT f.*, pg_sequence_last_value(f.seqrelid)::numeric AS value
    FROM finite AS f
    WHERE f.is_readable
        AND NOT EXISTS (
            SELECT FROM pg_locks AS l
            WHERE l.relation = f.seqrelid
                AND l.database = (SELECT d.oid FROM pg_database AS d
                    WHERE d.datname = current_database())
                AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                    'AccessExclusiveLock')
        )
),
coverage AS MATERIALIZED (
    SELECT (SELECT count(*) FROM sequences_read) AS read,
        (SELECT count(*) FROM finite AS f WHERE NOT f.is_readable) AS hidden,
        (SELECT count(*) FROM finite AS f WHERE f.is_readable)
            - (SELECT count(*) FROM sequences_read) AS locked,
        a.total, l.examined, a.small > l.small AS is_incomplete
    FROM (
        SELECT count(*) AS total, count(*) FILTER (WHERE s.seqmax <= 4294967296) AS small
        FROM pg_sequence AS s
        WHERE NOT s.seqcycle AND s.seqincrement > 0
    ) AS a
    CROSS JOIN (SELECT count(*) AS examined, count(*) FILTER (WHERE s.seqmax <= 4294967296) AS small
        FROM ascending AS s) AS l
),
judged AS (
    SELECT r.*, l.last_value, l.is_negative,
        100 * (r.value - r.seqmin + 1) / (l.last_value - r.seqmin + 1) AS percent
    FROM sequences_read AS r
    CROSS JOIN LATERAL (
        SELECT r.value < 0 AND r.seqstart > 0 AS is_negative,
            CASE WHEN r.value < 0 AND r.seqstart > 0 THEN r.seqstart - 1 ELSE r.max_value END
                AS last_value
    ) AS l
    WHERE r.value - r.seqmin + 1 >= @sequences.warning@ / 100.0 * (l.last_value - r.seqmin + 1)
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.percent DESC) AS rank, count(*) OVER () AS total,
        CASE
            WHEN j.seqmax < coalesce(t.max_value, 9223372036854775807) AND NOT j.is_negative
                THEN 'extend'
            WHEN j.is_negative OR j.seqmin < 0 THEN 'change' ELSE 'negative half'
        END AS remedy,
        coalesce(t.name, 'bigint') AS type, t.min_value,
        CASE WHEN t.name IS NOT NULL THEN
@column_dependents@
        END AS dependents
    FROM judged AS j
    CROSS JOIN LATERAL (SELECT j.relid, j.attnum) AS c
    LEFT JOIN (
        VALUES ('int2'::regtype, 'smallint', -32768, 32767),
            ('int4', 'integer', -2147483648, 2147483647)
    ) AS t (type, name, min_value, max_value) ON t.type = j.atttypid
)
SELECT
    CASE WHEN r.percent >= @sequences.critical@ THEN 'CRITICAL' ELSE 'WARNING' END AS status,
    'sequence ' || r.seqrelid::regclass AS object,
    format('%s %%', round(r.percent, 1)) AS current_value,
    format('< @sequences.warning@ %% of %s', r.last_value) AS threshold,
    format('at %s, increment %s, type %s', r.value, r.seqincrement, r.seqtypid::regtype)
        || CASE WHEN r.relid IS NOT NULL
            THEN format(', feeds %s.%I (%s)', r.relid::regclass, r.attname, r.atttypid::regtype)
                ELSE '' END
        || coalesce('; ' || r.dependents, '')
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more sequences', r.total - 5)
            ELSE '' END AS evidence,
    'At the end of the sequence every INSERT fails. ' || CASE r.remedy
        WHEN 'extend' THEN 'Extend the sequence: this takes no lock on a table.'
        ELSE CASE WHEN r.remedy = 'negative half' THEN 'First let it count through the negative '
                'half, if the application bears negative keys and none exist: this takes no lock '
                'on a table. Then, at a quiet time, move to bigint. '
            ELSE 'No breather is left: move to bigint. ' END
            || 'A new bigint column, filled in batches and swapped in, locks little. ALTER COLUMN '
            'TYPE rewrites the table and blocks it; its views must be dropped first.'
    END AS recommendation,
    CASE r.remedy
        WHEN 'extend' THEN format('ALTER SEQUENCE %s%s NO MAXVALUE;', r.seqrelid::regclass,
            CASE WHEN r.seqtypid <> 'int8'::regtype THEN ' AS ' || r.type ELSE '' END)
        WHEN 'negative half' THEN format('ALTER SEQUENCE %s MINVALUE %s RESTART WITH %2$s;',
            r.seqrelid::regclass, r.min_value)
        ELSE format('SELECT pg_size_pretty(pg_total_relation_size(%L));', r.relid::regclass)
    END AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT
    CASE WHEN c.hidden > 0 OR c.locked > 0 OR c.is_incomplete THEN 'SKIPPED' ELSE 'OK' END, NULL,
    CASE WHEN c.hidden = 0 OR c.read > 0
        THEN format('%s below @sequences.warning@ %%', c.read - (SELECT count(*) FROM ranked)) END,
    '< @sequences.warning@ %',
    concat_ws(', ',
        format('%s of %s sequences have a limit of at most 2^32 and were read', c.read, c.total),
        CASE WHEN c.hidden > 0 THEN c.hidden || ' are not readable by this role' END,
        CASE WHEN c.locked > 0 THEN c.locked || ' are locked by other sessions' END,
        CASE WHEN c.total > c.examined
            THEN format('only %s were examined, small types first', c.examined) END),
    CASE WHEN c.hidden > 0 THEN 'Grant pg_read_all_data to this role.'
        WHEN c.is_incomplete THEN 'The other sequences may be used up: check all of them.'
        WHEN c.locked > 0 THEN 'Repeat the check when the locks are released.'
        ELSE 'Nothing to do.' END,
    CASE WHEN c.hidden > 0 THEN format('GRANT pg_read_all_data TO %I;', current_user)
        WHEN c.is_incomplete
            THEN 'SELECT * FROM crewsnow_ops.full_health_check() WHERE metric = ''All Sequences'';'
                END,
    'now'
FROM coverage AS c
WHERE c.hidden > 0 OR c.locked > 0 OR c.is_incomplete OR NOT EXISTS (SELECT FROM ranked)
