-- $1 oid: a table that holds rows of the policy. $2 oid: the table of the policy. $3 text: its time
-- column. $4 jsonb: the replacements; NULL for a deletion. Parts of statements, in which $1 is the
-- cutoff and $2 the replacements; whether a row trigger that fires before the change, or a rule,
-- may keep rows. No row if the first table is not below the second.
WITH RECURSIVE family AS (
    SELECT $1 AS oid
    UNION
    SELECT i.inhparent FROM pg_inherits AS i JOIN family AS f ON f.oid = i.inhrelid
),
referring AS (
    SELECT format('NOT EXISTS (SELECT FROM %I.%I AS crewsnow_ops_child WHERE %s)', n.nspname,
        c.relname, string_agg(format('%I.%I OPERATOR(%I.%s) crewsnow_ops_child.%I', t.relname,
            own.attname, m.nspname, o.oprname, other.attname), ' AND ' ORDER BY k.place)) AS clause
    FROM pg_constraint AS r
    JOIN pg_class AS c ON c.oid = r.conrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_class AS t ON t.oid = $2
    CROSS JOIN unnest(r.confkey, r.conkey, r.conpfeqop) WITH ORDINALITY
        AS k (own, other, operator, place)
    JOIN pg_attribute AS own ON own.attrelid = r.confrelid AND own.attnum = k.own
    JOIN pg_attribute AS other ON other.attrelid = r.conrelid AND other.attnum = k.other
    JOIN pg_operator AS o ON o.oid = k.operator
    JOIN pg_namespace AS m ON m.oid = o.oprnamespace
    WHERE r.contype = 'f' AND r.conparentid = 0 AND r.confdeltype IN ('a', 'r')
        AND r.confrelid IN (SELECT f.oid FROM family AS f) AND $4 IS NULL
    GROUP BY r.oid, n.nspname, c.relname
),
replaced AS (
    SELECT string_agg(CASE WHEN v.new_value IS NULL
            THEN format('%I.%I IS DISTINCT FROM NULL', t.relname, a.attname)
            ELSE format('(%I.%I)::text COLLATE "C" IS DISTINCT FROM '
                '((($2 ->> %L)::%s)::text COLLATE "C")', t.relname, a.attname, a.attname,
                format_type(a.atttypid, a.atttypmod)) END, ' OR ' ORDER BY a.attnum) AS differences,
        string_agg(CASE WHEN v.new_value IS NULL THEN format('%I = NULL', a.attname)
            ELSE format('%I = ($2 ->> %L)::%s', a.attname, a.attname,
                format_type(a.atttypid, a.atttypmod)) END, ', ' ORDER BY a.attnum) AS assignments
    FROM jsonb_each_text($4) AS v (column_name, new_value)
    JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = v.column_name AND NOT a.attisdropped
    JOIN pg_class AS t ON t.oid = $2
)
SELECT format('ONLY %I.%I AS %I', n.nspname, c.relname, t.relname),
    quote_ident(t.relname),
    format('%I.%I', t.relname, $3),
    format_type(a.atttypid, NULL),
    CASE b.oid WHEN 'date'::regtype THEN '(($1 AT TIME ZONE ''UTC'')::date)'
        WHEN 'timestamp'::regtype THEN '($1 AT TIME ZONE ''UTC'')' ELSE '$1' END,
    coalesce((SELECT string_agg(r.clause, ' AND ') FROM referring AS r), 'true'),
    coalesce('(' || p.differences || ')', 'true'),
    p.assignments,
    c.relhasrules OR EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid
        AND g.tgenabled IN ('O', 'A') AND g.tgtype::integer & 3 = 3
        AND g.tgtype::integer & CASE WHEN $4 IS NULL THEN 8 ELSE 16 END <> 0)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = $2
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $3 AND NOT a.attisdropped
JOIN pg_type AS y ON y.oid = a.atttypid
CROSS JOIN LATERAL (SELECT CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END) AS b (oid)
CROSS JOIN replaced AS p
WHERE c.oid = $1 AND $2 IN (SELECT f.oid FROM family AS f)
