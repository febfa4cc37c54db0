-- Policy for writing without TO and without a condition: PUBLIC, that is every role, may change
-- every row. Policies whose name suggests other roles: see policy-name-lies.
WITH
policies AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, c.relowner, c.relnamespace,
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
),
owner_columns AS (
    SELECT o.relation, min(a.attname) AS attname, min(a.atttypid::bigint) AS type
    FROM crewsnow_ops.rls_owner_columns() AS o
    JOIN pg_attribute AS a ON a.attrelid = o.relation AND a.attnum = o.attnum
    WHERE o.basis <> 'name'
    GROUP BY o.relation
    HAVING count(DISTINCT o.attnum) = 1
),
identity_functions AS (
    SELECT p.prorettype AS type, min(format('%I.%I()', n.nspname, p.proname)) AS call
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    -- auth.role() and auth.email() also return text, but not the id of the user.
    WHERE p.oid = ANY ($2) AND p.pronargs = 0 AND p.proname !~* 'role|mail|jwt'
    GROUP BY p.prorettype
    HAVING count(*) = 1
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
    CASE
        WHEN NOT pg_has_role(p.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(p.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || CASE
            WHEN i.call IS NOT NULL THEN
                format('ALTER POLICY %I ON %s', p.polname, p.polrelid::regclass)
                    || CASE
                        WHEN p.polcmd <> 'a'
                            THEN format(' USING (%I = (SELECT %s))', o.attname, i.call)
                        ELSE ''
                    END
                    || CASE
                        WHEN p.polcmd <> 'd'
                            THEN format(' WITH CHECK (%I = (SELECT %s))', o.attname, i.call)
                        ELSE ''
                    END
                    || ';'
            WHEN g.grants IS NULL
                THEN format('DROP POLICY %I ON %s;', p.polname, p.polrelid::regclass)
            ELSE format(
                'REVOKE INSERT, UPDATE, DELETE ON %s FROM PUBLIC, %s;', p.polrelid::regclass,
                (
                    SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                    FROM pg_roles AS r
                    WHERE r.oid = ANY ($1)
                )
            )
        END AS remediation,
    NULL::text AS cache_key
FROM policies AS p
LEFT JOIN reached AS g ON g.oid = p.oid
LEFT JOIN owner_columns AS o ON o.relation = p.polrelid
LEFT JOIN identity_functions AS i ON i.type = o.type
ORDER BY g.grants IS NULL, p.relnamespace <> ALL ($5), p.name
LIMIT 200
