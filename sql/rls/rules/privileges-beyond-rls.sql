-- Row-level security does not limit TRUNCATE, REFERENCES, TRIGGER and MAINTAIN: a role that sees no
-- row may empty the table. APIs offer no TRUNCATE, so it takes a direct SQL statement. No client
-- role needs any of the four. Supabase grants them everywhere: one statement revokes them.
WITH
held_privileges AS (
    SELECT c.oid, c.relowner, c.relnamespace, c.oid::regclass::text AS name,
        bool_or(p.privileges ~ 'TRUNCATE') AS can_truncate, bool_or(r.rolcanlogin) AS can_log_in,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants,
        string_agg(DISTINCT p.privileges, ', ') AS privileges, array_agg(r.oid) AS roles
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ', ', CASE WHEN has_table_privilege(r.oid, c.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'REFERENCES') THEN 'REFERENCES' END,
            CASE WHEN has_table_privilege(r.oid, c.oid, 'TRIGGER') THEN 'TRIGGER' END,
            CASE
                WHEN c.relowner <> r.oid
                    AND EXISTS (
                        SELECT FROM aclexplode(c.relacl) AS a
                        WHERE a.privilege_type = 'MAINTAIN'
                            AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'USAGE'))
                    ) THEN 'MAINTAIN'
            END
        ) AS privileges
    ) AS p
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND p.privileges <> ''
        AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
),
schemas AS (
    SELECT c.relnamespace,
        -- A statement for all tables of the schema needs their owner.
        count(DISTINCT c.relowner) = 1 AS has_one_owner,
        count(*) FILTER (WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity) AS secured
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relnamespace IN (SELECT h.relnamespace FROM held_privileges AS h)
    GROUP BY c.relnamespace
),
grouped AS (
    SELECT h.relnamespace, h.relowner, count(*) AS tables,
        count(*) FILTER (WHERE h.can_truncate) AS truncated,
        string_agg(h.name, ', ' ORDER BY h.name) AS names, bool_or(h.privileges ~ 'MAINTAIN')
            AS has_maintain,
        (
            SELECT string_agg(DISTINCT quote_ident(r.rolname), ', ' ORDER BY quote_ident(r.rolname))
            FROM pg_roles AS r, held_privileges AS o
            WHERE o.relnamespace = h.relnamespace AND o.relowner = h.relowner
                AND r.oid = ANY (o.roles)
        ) AS clients
    FROM held_privileges AS h
    GROUP BY h.relnamespace, h.relowner
),
stock AS (
    -- Default privileges hand TRUNCATE out with each new table.
    SELECT DISTINCT d.defaclnamespace
    FROM pg_default_acl AS d
    CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
    WHERE d.defaclobjtype = 'r' AND a.privilege_type = 'TRUNCATE'
        AND (
            a.grantee = 0
                OR EXISTS (
                    SELECT FROM unnest($1) AS r (oid)
                    WHERE a.grantee <> 0 AND pg_has_role(r.oid, a.grantee, 'USAGE')
                )
        )
)
SELECT
    CASE
        WHEN h.can_truncate AND h.can_log_in THEN 'HIGH'
        WHEN NOT h.can_truncate OR h.relnamespace <> ALL ($5)
            OR h.relnamespace IN (SELECT k.defaclnamespace FROM stock AS k)
            OR g.truncated > 1 AND g.truncated = s.secured THEN 'LOW'
        ELSE 'MEDIUM'
    END AS severity,
    'PROVED' AS confidence, 'table ' || h.name AS object, 'pg_class'::regclass::oid AS classid,
    h.oid AS objid, h.oid AS relation,
    CASE
        WHEN h.can_truncate THEN 'Client roles may TRUNCATE the table, hidden rows included.'
        ELSE
            'Client roles hold privileges that row-level security does not limit: REFERENCES '
            'reveals which keys exist, and a trigger runs as each role that writes.'
    END AS detail,
    h.grants AS evidence,
    CASE
        WHEN NOT pg_has_role(h.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(h.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format(
            'REVOKE TRUNCATE, REFERENCES, TRIGGER%s ON %s FROM PUBLIC, %s;',
            CASE WHEN g.has_maintain THEN ', MAINTAIN' ELSE '' END,
            CASE
                WHEN g.tables > 1 AND s.has_one_owner
                    THEN 'ALL TABLES IN SCHEMA ' || quote_ident(n.nspname)
                ELSE g.names
            END,
            g.clients) AS remediation,
    NULL::text AS cache_key
FROM held_privileges AS h
JOIN pg_namespace AS n ON n.oid = h.relnamespace
JOIN schemas AS s ON s.relnamespace = h.relnamespace
JOIN grouped AS g ON g.relnamespace = h.relnamespace AND g.relowner = h.relowner
ORDER BY NOT h.can_truncate, NOT h.can_log_in, h.relnamespace <> ALL ($5), h.name
LIMIT 200
