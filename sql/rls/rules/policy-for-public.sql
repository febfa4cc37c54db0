-- Policy for writing without TO and without a condition: PUBLIC, that is every role, may change
-- every row. Policies whose name suggests other roles: see policy-name-lies.
WITH
policies AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, c.relnamespace,
        format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS name
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid
        AND f.clause = CASE p.polcmd WHEN 'a' THEN 'check' ELSE 'using' END AND f.constant = 'true'
    WHERE p.polpermissive AND p.polcmd <> 'r' AND p.polroles = '{0}'
        AND (
            p.polname !~*
                '\m(service[ _-]?(role|account|user|key)|admin(s|istrators?)?|super[ '
                '_-]?users?|internal|back[ _-]?end|staff|moderators?|webhooks?|cron)(\M|_)'
                OR p.polname ~* '\m(any(one|body)?|every(one|body)|public|all users)\M')
),
reached AS (
    SELECT p.oid, string_agg(r.rolname || ' ' || g.privileges, '; ' ORDER BY r.rolname) AS grants
    FROM policies AS p
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, p.relnamespace, 'USAGE')
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ', ',
            CASE
                WHEN p.polcmd IN ('a', '*')
                    AND has_any_column_privilege(r.oid, p.polrelid, 'INSERT') THEN 'INSERT'
            END,
            CASE
                WHEN p.polcmd IN ('w', '*')
                    AND has_any_column_privilege(r.oid, p.polrelid, 'UPDATE') THEN 'UPDATE'
            END,
            CASE
                WHEN p.polcmd IN ('d', '*') AND has_table_privilege(r.oid, p.polrelid, 'DELETE')
                    THEN 'DELETE'
            END
        ) AS privileges
    ) AS g
    WHERE g.privileges <> ''
    GROUP BY p.oid
)
SELECT
    CASE
        WHEN g.grants IS NULL THEN 'LOW'
        WHEN p.relnamespace = ANY ($5) THEN 'CRITICAL'
        ELSE 'MEDIUM'
    END AS severity,
    CASE WHEN g.grants IS NULL THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence, p.name AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    'The policy applies to PUBLIC, as it has no TO, and has no condition: '
        || CASE
            WHEN g.grants IS NULL THEN 'the next grant for writing opens every row.'
            ELSE 'client roles can write the rows of all users.'
        END AS detail,
    concat_ws(
        '; ', 'TO PUBLIC',
        CASE p.polcmd
            WHEN 'a' THEN 'FOR INSERT'
            WHEN 'w' THEN 'FOR UPDATE'
            WHEN 'd' THEN 'FOR DELETE'
            ELSE 'FOR ALL'
        END,
        g.grants) AS evidence,
    -- Restricting the policy depends on the reaches that it opens: their findings have a
    -- remediation where one is proved.
    NULL::text AS remediation,
    NULL::text AS cache_key
FROM policies AS p
LEFT JOIN reached AS g ON g.oid = p.oid
ORDER BY g.grants IS NULL, p.relnamespace <> ALL ($5), p.name
LIMIT 200
