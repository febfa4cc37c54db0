-- The extension's own tables with columns of text: quoted name, the SET clause and the condition of
-- an UPDATE that replaces a pattern ($1) by a pseudonym ($2); in columns that name a user, a wider
-- pattern ($3). Columns of unique indexes are keys, and stay. event_log has rules of its own, and
-- feature_flags comes before its history.
SELECT t.name,
    string_agg(format('%I = regexp_replace(%s, %s, $2, ''gi'')%s', t.attname, t.value, t.pattern,
        t.type_cast), ', ' ORDER BY t.attnum),
    string_agg(format('%s ~* %s', t.value, t.pattern), ' OR ' ORDER BY t.attnum)
FROM (
    SELECT format('%I.%I', n.nspname, c.relname) AS name, a.attname, a.attnum,
        CASE WHEN a.atttypid = 'text'::regtype THEN format('r.%I', a.attname)
            ELSE format('r.%I::text', a.attname) END AS value,
        CASE WHEN a.atttypid <> 'text'::regtype THEN '::' || format_type(a.atttypid, NULL) END
            AS type_cast,
        CASE WHEN a.attname IN ('updated_by', 'created_by', 'jwt_subject', 'user_id') THEN '$3'
            ELSE '$1' END AS pattern
    FROM pg_depend AS d
    JOIN pg_class AS c ON c.oid = d.objid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
        AND d.deptype = 'e'
        AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'crewsnow_ops')
        AND a.atttypid IN ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype)
        AND a.attgenerated = ''
        AND c.relname NOT IN ('event_log', 'erasure_requests', 'erasure_rules', 'erasure_replays',
            'erasure_salts', 'trail_erasures', 'access_privileges', 'launch_flags')
        AND NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)
        )
) AS t
GROUP BY t.name
ORDER BY t.name NOT LIKE '%feature_flags', t.name
