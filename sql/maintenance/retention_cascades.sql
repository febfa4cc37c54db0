-- $1 oid: a table; $2 text[]: the columns that are replaced, NULL for a deletion. The tables in
-- which foreign keys then change rows, and a policy of each that holds rows.
WITH RECURSIVE below AS (
    SELECT $1 AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN below AS b ON b.oid = i.inhparent
),
above AS (
    SELECT $1 AS oid
    UNION
    SELECT i.inhparent FROM pg_inherits AS i JOIN above AS a ON a.oid = i.inhrelid
),
family AS (
    SELECT b.oid FROM below AS b
    UNION
    SELECT a.oid FROM above AS a
),
reached AS (
    SELECT r.conrelid AS oid, r.confdeltype AS change
    FROM pg_constraint AS r
    WHERE r.contype = 'f' AND r.conparentid = 0
        AND r.confrelid IN (SELECT f.oid FROM family AS f)
        AND CASE WHEN $2 IS NULL THEN r.confdeltype IN ('c', 'n', 'd')
            ELSE r.confupdtype IN ('c', 'n', 'd') AND EXISTS (
                SELECT FROM pg_attribute AS a WHERE a.attrelid = r.confrelid
                    AND a.attnum = ANY (r.confkey) AND a.attname = ANY ($2)) END
    UNION
    SELECT r.conrelid, r.confdeltype
    FROM reached AS b
    JOIN pg_constraint AS r ON r.confrelid = b.oid
    WHERE b.change = 'c' AND $2 IS NULL AND r.contype = 'f' AND r.conparentid = 0
        AND r.confdeltype IN ('c', 'n', 'd')
)
SELECT DISTINCT format('%I.%I', n.nspname, c.relname), p.name
FROM reached AS b
JOIN pg_class AS c ON c.oid = b.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN crewsnow_ops.retention_policies AS p ON p.hold IS NOT NULL AND p.is_enabled
    AND b.oid <> $1 AND p.target = format('%I.%I', n.nspname, c.relname)
ORDER BY 1, 2
