-- $1 oid: a table that is partitioned by ranges of one time column, $2 timestamptz: the cutoff. Its
-- partitions in the order of their ranges; whether every row that one can hold has expired, and
-- whether it is the default partition. The last range is never expired.
SELECT p.oid, p.name, p.has_ended AND p.place < p.places, p.is_default
FROM (
    SELECT b.oid, b.name, b.is_default,
        coalesce(CASE y.oid WHEN 'date'::regtype
                THEN b.ends_at::date <= ($2 AT TIME ZONE 'UTC')::date
            WHEN 'timestamp'::regtype THEN b.ends_at::timestamp <= $2 AT TIME ZONE 'UTC'
            ELSE b.ends_at::timestamptz <= $2 END, false) AS has_ended,
        row_number() OVER (PARTITION BY b.is_default ORDER BY CASE y.oid
            WHEN 'timestamptz'::regtype THEN b.ends_at::timestamptz
            ELSE b.ends_at::timestamp AT TIME ZONE 'UTC' END NULLS LAST) AS place,
        count(*) OVER (PARTITION BY b.is_default) AS places
    FROM (
        SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name,
            pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default,
            substring(pg_get_expr(c.relpartbound, c.oid) FROM ' TO \(''([^'']*)''\)$') AS ends_at
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.inhparent = $1 AND c.relispartition AND NOT i.inhdetachpending
    ) AS b
    CROSS JOIN (
        SELECT CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END AS oid
        FROM pg_partitioned_table AS t
        JOIN pg_attribute AS a ON a.attrelid = t.partrelid AND a.attnum = t.partattrs[0]
        JOIN pg_type AS y ON y.oid = a.atttypid
        WHERE t.partrelid = $1 AND t.partnatts = 1 AND t.partstrat = 'r'
    ) AS y
) AS p
ORDER BY p.is_default, p.place
