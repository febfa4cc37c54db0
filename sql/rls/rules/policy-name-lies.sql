-- Policy whose name suggests the service role or administrators, but which admits client roles
-- without a condition. Usually TO is missing, which means PUBLIC. service_role needs no policy: it
-- bypasses row-level security.
WITH
policies AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, p.polroles, c.relowner, c.relnamespace,
        format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS name
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid
        AND f.clause = CASE p.polcmd WHEN 'a' THEN 'check' ELSE 'using' END AND f.constant = 'true'
    WHERE p.polpermissive
        AND p.polname ~*
            '\m(service[ _-]?(role|account|user|key)|admin(s|istrators?)?|super[ '
            '_-]?users?|internal|back[ _-]?end|staff|moderators?|webhooks?|cron)(\M|_)'
        AND p.polname !~* '\m(any(one|body)?|every(one|body)|public|all users)\M'
),
reached AS (
    SELECT p.oid, string_agg(r.rolname, ', ' ORDER BY r.rolname) AS roles,
        string_agg(r.rolname || ' ' || g.privileges, '; ' ORDER BY r.rolname) FILTER (
            WHERE g.privileges <> '' AND has_schema_privilege(r.oid, p.relnamespace, 'USAGE')
        ) AS grants
    FROM policies AS p
    JOIN pg_roles AS r ON r.oid = ANY ($1)
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ', ',
            CASE
                WHEN p.polcmd IN ('r', '*')
                    AND has_any_column_privilege(r.oid, p.polrelid, 'SELECT') THEN 'SELECT'
            END,
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
    WHERE 0 = ANY (p.polroles)
        OR EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid <> 0 AND pg_has_role(r.oid, t.oid, 'USAGE')
        )
    GROUP BY p.oid
)
SELECT
    CASE
        WHEN r.grants IS NULL THEN 'LOW'
        WHEN p.relnamespace = ANY ($5) THEN 'CRITICAL'
        ELSE 'MEDIUM'
    END AS severity,
    CASE WHEN r.grants IS NULL THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence, p.name AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    format('The name of the policy suggests other roles, but it is for %s and has no condition. ',
        r.roles)
        || CASE
            WHEN r.grants IS NULL THEN 'These roles have no privilege on the table yet.'
            ELSE 'These roles reach every row.'
        END AS detail,
    concat_ws(
        '; ',
        format(
            'TO %s',
            (
                SELECT
                    string_agg(CASE t.oid WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(t.oid) END,
                        ', ')
                FROM unnest(p.polroles) AS t (oid)
            )
        ),
        r.grants) AS evidence,
    CASE
        WHEN NOT pg_has_role(p.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(p.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || CASE
            WHEN EXISTS (SELECT FROM pg_roles AS s WHERE s.rolname = 'service_role') THEN
                format('ALTER POLICY %I ON %s TO service_role;', p.polname, p.polrelid::regclass)
            ELSE format('DROP POLICY %I ON %s;', p.polname, p.polrelid::regclass)
        END AS remediation,
    NULL::text AS cache_key
FROM policies AS p
JOIN reached AS r ON r.oid = p.oid
ORDER BY r.grants IS NULL, p.relnamespace <> ALL ($5), p.name
LIMIT 200
