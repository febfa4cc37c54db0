-- Tables that Supabase Realtime publishes. Realtime applies policies to inserted and changed rows.
-- It cannot for deleted rows: DELETE events, with the old row or its key, go to all subscribers.
-- Without row-level security every event goes to all subscribers.
WITH
published AS (
    SELECT c.oid, c.relowner, c.relrowsecurity, c.relreplident, c.oid::regclass::text AS name,
        string_agg(DISTINCT t.pubname, ', ') AS publications, bool_or(p.pubdelete) AS deletes,
        bool_or(p.puballtables) AS is_all
    FROM pg_publication_tables AS t
    JOIN pg_publication AS p ON p.pubname = t.pubname
    JOIN pg_namespace AS n ON n.nspname = t.schemaname
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename
    WHERE t.pubname ~ 'realtime'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
),
found AS (
    SELECT p.*,
        (
            SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
            FROM pg_roles AS r
            WHERE r.oid = ANY ($1) AND has_any_column_privilege(r.oid, p.oid, 'SELECT')
        ) AS clients
    FROM published AS p
    WHERE NOT p.relrowsecurity OR (p.deletes AND p.relreplident = 'f')
)
SELECT
    CASE WHEN NOT f.relrowsecurity THEN 'HIGH' ELSE 'MEDIUM' END AS severity,
    CASE WHEN NOT f.relrowsecurity THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    'table ' || f.name AS object, 'pg_class'::regclass::oid AS classid, f.oid AS objid,
    f.oid AS relation,
    CASE
        WHEN NOT f.relrowsecurity THEN
            'Realtime sends each change of the table to all subscribers: row-level security is off.'
        ELSE
            'Realtime sends each DELETE to all subscribers, regardless of policies. REPLICA '
            'IDENTITY FULL puts the whole old row into the event; Realtime removes all but the key.'
    END AS detail,
    format(
        'published in %s; SELECT for %s; replica identity %s', f.publications, f.clients,
        CASE f.relreplident
            WHEN 'f' THEN 'full'
            WHEN 'd' THEN 'default'
            WHEN 'n' THEN 'nothing'
            ELSE 'index'
        END
    ) AS evidence,
    CASE
        WHEN NOT pg_has_role(f.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || CASE
            WHEN NOT f.relrowsecurity
                THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', f.name)
            ELSE format('ALTER TABLE %s REPLICA IDENTITY DEFAULT;', f.name)
        END AS remediation,
    NULL::text AS cache_key
FROM found AS f
WHERE f.clients IS NOT NULL
ORDER BY f.relrowsecurity, f.name
LIMIT 200
