-- $1 crewsnow_ops.users_table. Tables that keep personal data, or only grow, without a policy;
-- policies without an index, and those that are off. Reads catalogs and pg_stats only.
WITH RECURSIVE
-- The users table, and tables whose key is the key of a person: one row each.
person (oid) AS (
    SELECT to_regclass($1)::oid
    UNION
    SELECT f.conrelid
    FROM person AS p
    JOIN pg_constraint AS f ON f.confrelid = p.oid AND f.contype = 'f'
    JOIN pg_constraint AS k ON k.conrelid = f.conrelid AND k.contype = 'p'
        AND k.conkey = f.conkey
),
application AS (
    SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS name, c.reltuples,
        -- An ordinary table has no partition tree.
        (SELECT sum(pg_table_size(i.oid)) FROM (SELECT c.oid
            UNION SELECT p.relid FROM pg_partition_tree(c.oid) AS p) AS i) AS bytes,
        (SELECT min(a.attname) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                AND a.attname ~ '(created|inserted|received|occurred|logged|sent|_at$|date|time)'
        ) AS any_time,
        (SELECT a.attname FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = 'created_at' AND NOT a.attisdropped
                AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
        ) AS created
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
            AND d.objid = c.oid AND d.deptype = 'e')
),
covered AS (
    SELECT to_regclass(t.target)::oid AS oid
    FROM crewsnow_ops.retention_policies AS p
    CROSS JOIN LATERAL unnest(p.cascades_to || p.target) AS t (target)
),
link AS (
    SELECT f.conrelid AS oid, unnest(f.conkey) AS attnum
    FROM person AS p JOIN pg_constraint AS f ON f.confrelid = p.oid AND f.contype = 'f'
),
-- The shares of sampled values that have the shape of an e-mail address, a telephone number or an
-- IP address. pg_stats holds only columns that the caller may read.
shape AS (
    SELECT s.schemaname, s.tablename, s.attname,
        count(*) FILTER (WHERE v.value ~ '^[^@[:space:]]+@[^@[:space:]]+[.][[:alpha:]]{2,}$')
            AS mails,
        count(*) FILTER (WHERE v.value ~ '^([+]|00?)[1-9][0-9 ()./-]{6,17}[0-9]$') AS telephones,
        count(*) FILTER (WHERE v.value ~ '^[0-9]{1,3}([.][0-9]{1,3}){3}$') AS addresses,
        count(*) AS all_values
    FROM pg_stats AS s
    CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[] || s.histogram_bounds::text::text[])
        AS v (value)
    WHERE s.schemaname !~ '^pg_' AND s.schemaname NOT IN ('information_schema', 'crewsnow_ops')
        AND EXISTS (SELECT FROM pg_attribute AS a
            WHERE a.attrelid = to_regclass(format('%I.%I', s.schemaname, s.tablename))
                AND a.attname = s.attname
                AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype))
    GROUP BY 1, 2, 3
),
suspect AS (
    SELECT t.oid, a.attname, a.attnum,
        CASE
            WHEN EXISTS (SELECT FROM link AS l WHERE l.oid = t.oid AND l.attnum = a.attnum)
                THEN 'names a user'
            WHEN 2 * s.mails > s.all_values THEN 'holds e-mail addresses'
            WHEN 2 * s.telephones > s.all_values THEN 'holds telephone numbers'
            WHEN 2 * s.addresses > s.all_values THEN 'holds IP addresses'
            WHEN a.atttypid = 'inet'::regtype THEN 'has the type of an address'
            WHEN a.atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'bool'::regtype)
                AND a.attname ~* ('(^|_)(e?mail|phone|mobile|telephone|birth(day|_date|_year)?|dob|'
                    '(first|last|full|given|family|maiden)_?name|surname|iban|ssn|passport|'
                    'national_id|tax_id|(ip|street|postal|home)_address|ip|user_agent|'
                    'password(_hash)?)($|_)')
                THEN 'has a personal name'
        END AS reason
    FROM application AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN shape AS s ON to_regclass(format('%I.%I', s.schemaname, s.tablename)) = t.oid
        AND s.attname = a.attname
),
personal AS (
    SELECT s.oid, string_agg(s.attname, ', ' ORDER BY s.attnum) AS columns,
        string_agg(DISTINCT s.reason, ', ') AS reasons
    FROM suspect AS s WHERE s.reason IS NOT NULL GROUP BY s.oid
),
-- The lowest sampled time of each table.
eldest AS (
    SELECT t.oid,
        (SELECT min(v.value) FROM pg_stats AS s
            CROSS JOIN LATERAL unnest(s.histogram_bounds::text::text[]::timestamptz[])
                AS v (value)
            WHERE to_regclass(format('%I.%I', s.schemaname, s.tablename)) = t.oid
                AND s.attname = coalesce(t.created, t.any_time)) AS oldest
    FROM application AS t
    WHERE t.reltuples >= 100000 AND t.any_time IS NOT NULL
),
proposal AS (
    SELECT t.oid, 'INSERT INTO crewsnow_ops.retention_policies (name, target, time_column, keep, '
        'action, legal_basis, is_enabled) VALUES (' || format('%L, %L, %L', t.name, t.name,
            coalesce(t.created, t.any_time))
        || ', ''2 years'', ''delete'', ''to be named'', false);' AS command
    FROM application AS t WHERE t.any_time IS NOT NULL
),
found AS (
    SELECT 1 AS rank, 'WARNING' AS severity, 'personal data without a policy' AS finding, t.name,
        p.columns, p.reasons AS detail, q.command
    FROM personal AS p
    JOIN application AS t USING (oid)
    LEFT JOIN proposal AS q USING (oid)
    WHERE p.oid NOT IN (SELECT c.oid FROM covered AS c WHERE c.oid IS NOT NULL)
    UNION ALL
    SELECT 2, 'WARNING', 'only grows', t.name, coalesce(t.created, t.any_time),
        format('%s rows, the oldest of %s, and almost none was deleted since the statistics began',
            t.reltuples::bigint, e.oldest::date), q.command
    FROM eldest AS e
    JOIN application AS t USING (oid)
    JOIN proposal AS q USING (oid)
    JOIN pg_stat_all_tables AS s ON s.relid = t.oid
    WHERE e.oldest < now() - interval '1 year' AND s.n_tup_del < t.reltuples / 100
        AND t.oid NOT IN (SELECT c.oid FROM covered AS c WHERE c.oid IS NOT NULL)
        AND t.oid NOT IN (SELECT p.oid FROM personal AS p)
    UNION ALL
    SELECT 3, 'INFO', 'policy without an index', p.target, p.time_column,
        format('each run of policy %s reads the whole table, %s', p.name,
            pg_size_pretty(t.bytes)),
        CASE WHEN t.relkind = 'r' THEN
            format('CREATE INDEX CONCURRENTLY ON %s (%I);', t.name, p.time_column) END
    FROM crewsnow_ops.retention_policies AS p
    JOIN application AS t ON t.oid = to_regclass(p.target)
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attname = p.time_column
    WHERE p.is_enabled AND p.action <> 'drop partition'
        AND t.bytes > 64 << 20
        AND NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = t.oid AND x.indisvalid
            AND x.indkey[0] = a.attnum AND x.indpred IS NULL)
    UNION ALL
    SELECT 4, 'INFO', 'policy that is off', p.target, p.time_column,
        format('policy %s deletes nothing, and its legal basis is to be named', p.name),
        format('UPDATE crewsnow_ops.retention_policies SET is_enabled = true, legal_basis = '
            '%L WHERE name = %L;', 'contract', p.name)
    FROM crewsnow_ops.retention_policies AS p
    WHERE NOT p.is_enabled AND p.legal_basis = 'to be named'
)
SELECT f.severity, f.finding, f.name, f.columns, f.detail, f.command
FROM found AS f ORDER BY f.rank, f.name
