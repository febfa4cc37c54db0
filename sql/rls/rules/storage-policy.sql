-- Policies on storage.objects, which holds the files of all buckets. Without a condition on
-- bucket_id a policy opens every bucket; without any other condition all users list, overwrite or
-- delete the files of others. Files of public buckets need no policy to be fetched by URL.
WITH
files AS (
    SELECT c.oid, c.relowner, c.relnamespace, a.attnum
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'storage'
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'bucket_id'
    WHERE c.relname = 'objects' AND c.relrowsecurity
),
found AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, f.expression, f.constant,
        t.attnum = ANY (f.columns) AS by_bucket, f.identity_calls,
        (regexp_match(f.expression, 'bucket_id = ''((?:[^'']|'''')*)'''))[1] AS bucket, c.names
    FROM files AS t
    JOIN pg_policy AS p ON p.polrelid = t.oid AND p.polpermissive
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid
        AND f.clause = CASE WHEN p.polcmd = 'a' THEN 'check' ELSE 'using' END
    CROSS JOIN LATERAL (
        SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) AS names
        FROM pg_roles AS r
        WHERE r.oid = ANY ($1)
            AND EXISTS (
                SELECT FROM unnest(p.polroles) AS l (oid)
                WHERE l.oid = 0 OR pg_has_role(r.oid, l.oid, 'USAGE')
            )
            AND has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
            AND (
                has_any_column_privilege(r.oid, t.oid, 'SELECT, INSERT, UPDATE')
                    OR has_table_privilege(r.oid, t.oid, 'DELETE'))
    ) AS c
    WHERE c.names IS NOT NULL AND f.columns <@ ARRAY[t.attnum]
        AND f.constant IS DISTINCT FROM 'false' AND f.constant IS DISTINCT FROM 'null'
        -- A condition on a claim or a function may admit administrators only: left out.
        AND cardinality(f.relations) = 0 AND f.claim_keys <@ ARRAY['sub', 'role']
        AND NOT EXISTS (
            SELECT FROM unnest(f.literal_identities) AS l (name)
            WHERE l.name NOT IN (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = ANY ($1))
        )
        AND NOT EXISTS (
            SELECT FROM pg_proc AS g
            JOIN pg_namespace AS n ON n.oid = g.pronamespace
                AND n.nspname NOT IN ('pg_catalog', 'storage')
            WHERE g.oid = ANY (f.functions) AND g.oid <> ALL ($2)
        )
        AND f.expression !~ '''service_role'''
)
SELECT
    CASE
        WHEN NOT f.by_bucket OR f.polcmd IN ('w', 'd', '*') THEN 'HIGH'
        ELSE 'MEDIUM'
    END AS severity,
    CASE WHEN f.constant = 'true' THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.polrelid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    CASE WHEN f.identity_calls > 0 THEN 'Every signed-in user' ELSE 'Everyone' END
        || CASE f.polcmd
            WHEN 'r' THEN ' may list and read'
            WHEN 'a' THEN ' may upload'
            WHEN 'w' THEN ' may overwrite'
            WHEN 'd' THEN ' may delete'
            ELSE ' may list, read, overwrite and delete'
        END
        || CASE
            WHEN f.by_bucket THEN
                coalesce(' the files of all users in the bucket ' || f.bucket || '.',
                    ' the files of all users in a bucket.')
            ELSE ' files in every bucket.'
        END AS detail,
    format('%s; for %s', f.expression, f.names) AS evidence, NULL::text AS remediation,
    CASE
        WHEN f.polcmd IN ('r', '*') AND f.bucket IS NOT NULL
            THEN format('public_bucket_allows_listing_%s', replace(f.bucket, '''''', ''''))
    END AS cache_key
FROM found AS f
ORDER BY f.by_bucket AND f.polcmd NOT IN ('w', 'd', '*'), f.by_bucket, object
LIMIT 200
