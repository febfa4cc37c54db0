-- $1 start of a partition, in UTC. The statements that give it exactly the privileges of event_log,
-- in order: first all others lose theirs.
WITH
partition AS (
    SELECT c.oid, c.relacl, c.relowner, c.oid::regclass::text AS name
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = '@extschema@.event_log'::regclass
        AND c.relname = 'event_log_' || to_char($1 AT TIME ZONE 'UTC',
            CASE WHEN $1 = date_trunc('day', $1, 'UTC') THEN 'YYYYMMDD'
                ELSE 'YYYYMMDD_HH24MI' END)
),
parent AS (
    SELECT c.oid, c.relacl, c.relowner FROM pg_class AS c
    WHERE c.oid = '@extschema@.event_log'::regclass
),
commands AS (
    SELECT DISTINCT 1 AS step, p.name, 'REVOKE ALL ON TABLE %s FROM %s' AS format,
        '' AS privilege, a.grantee, false AS is_grantable
    FROM partition AS p CROSS JOIN LATERAL aclexplode(p.relacl) AS a
    WHERE a.grantee <> p.relowner
    UNION ALL
    SELECT 2, p.name, 'GRANT %3$s ON TABLE %1$s TO %2$s', a.privilege_type, a.grantee,
        a.is_grantable
    FROM partition AS p CROSS JOIN parent AS r CROSS JOIN LATERAL aclexplode(r.relacl) AS a
    WHERE a.grantee <> p.relowner
    UNION ALL
    SELECT 2, p.name, 'GRANT %3$s ON TABLE %1$s TO %2$s',
        format('%s (%I)', a.privilege_type, t.attname), a.grantee, a.is_grantable
    FROM partition AS p CROSS JOIN parent AS r
    JOIN pg_attribute AS t ON t.attrelid = r.oid AND NOT t.attisdropped
    CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    WHERE a.grantee <> p.relowner
)
SELECT format(c.format, c.name,
    CASE WHEN c.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(c.grantee)) END,
    c.privilege) || CASE WHEN c.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM commands AS c
ORDER BY c.step
