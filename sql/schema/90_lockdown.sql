COMMENT ON FUNCTION crewsnow_ops.grant_access(text, text) IS
    'Gives a role exactly the privileges of an access level. reader: read flags, flag history, '
    'monitoring, the security audit and decisions. writer: evaluate all flags of a user, write '
    'events and webhooks, nothing else; for services. operator: reader and writer, change flags, '
    'roll up, decide. admin: operator, retention, accept findings, change criteria. Run it as the '
    'owner of the extension. Errors: 22004 NULL argument, 22023 unknown level or the owner, 42704 '
    'unknown role, 42501 not the owner.';
COMMENT ON FUNCTION crewsnow_ops.revoke_access(text) IS
    'Revokes every privilege that grant_access can grant. Errors: 22004 NULL argument, 22023 the '
    'owner, 42704 unknown role, 42501 not the owner.';
REVOKE ALL ON FUNCTION crewsnow_ops.grant_access(text, text), crewsnow_ops.revoke_access(text)
    FROM PUBLIC;

-- Default privileges (ALTER DEFAULT PRIVILEGES; Supabase sets them for anon and others) have
-- granted rights on the new objects. Revoke all but the owner's; PUBLIC keeps only flag evaluation.
DO $lockdown$
DECLARE
    grantee record;
BEGIN
    FOR grantee IN
        SELECT DISTINCT
            pg_catalog.format(
                'REVOKE ALL ON %s %s FROM %s',
                CASE WHEN o.kind OPERATOR(pg_catalog.=) 'function' THEN 'FUNCTION'
                    WHEN o.kind OPERATOR(pg_catalog.=) 'schema' THEN 'SCHEMA' ELSE 'TABLE' END,
                o.name,
                CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
            ) AS command
        FROM (
            SELECT 'function' AS kind, p.oid::pg_catalog.regprocedure::pg_catalog.text AS name,
                p.proacl AS acl, p.proowner AS owner
            FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
            WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND d.deptype OPERATOR(pg_catalog.=) 'e'
                AND d.refobjid OPERATOR(pg_catalog.=) (SELECT e.oid
                    FROM pg_catalog.pg_extension AS e
                    WHERE e.extname OPERATOR(pg_catalog.=) 'crewsnow_ops')
            UNION ALL
            SELECT 'table', c.oid::pg_catalog.regclass::pg_catalog.text, c.relacl, c.relowner
            FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) d.objid
            WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.deptype OPERATOR(pg_catalog.=) 'e'
                AND d.refobjid OPERATOR(pg_catalog.=) (SELECT e.oid
                    FROM pg_catalog.pg_extension AS e
                    WHERE e.extname OPERATOR(pg_catalog.=) 'crewsnow_ops')
            UNION ALL
            SELECT 'schema', pg_catalog.quote_ident(n.nspname), n.nspacl, n.nspowner
            FROM pg_catalog.pg_namespace AS n
            WHERE n.nspname OPERATOR(pg_catalog.=) 'crewsnow_ops'
        ) AS o
        CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS a
        WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
    LOOP
        EXECUTE grantee.command;
    END LOOP;
END
$lockdown$;
GRANT EXECUTE ON FUNCTION @extschema@.is_feature_enabled_for_user(text, uuid),
    @extschema@.is_feature_enabled_for_user(text, text) TO PUBLIC;
-- The function reads only its arguments. A CHECK constraint of event_log calls it with the
-- privileges of the inserting role.
GRANT EXECUTE ON FUNCTION crewsnow_ops.is_valid_event(text, text, numeric, jsonb,
    timestamptz) TO PUBLIC;
-- The decision behind require_go: it demands EXECUTE on require_go itself.
GRANT EXECUTE ON FUNCTION crewsnow_ops.require_go_decision(text, text) TO PUBLIC;
