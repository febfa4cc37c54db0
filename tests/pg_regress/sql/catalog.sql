-- The objects of the extension in the catalogs. Every query but the last must return no row, so
-- each new object needs a decision.
-- passes before: names of new objects joined its lists of exceptions
\set QUIET off
CREATE SCHEMA "Odd schema";
CREATE EXTENSION crewsnow_ops SCHEMA "Odd schema";
CREATE TEMP VIEW members AS
SELECT d.classid, d.objid FROM pg_depend AS d
WHERE d.deptype = 'e' AND d.refobjid =
    (SELECT oid FROM pg_extension WHERE extname = 'crewsnow_ops');

-- members outside the two schemas
SELECT pg_describe_object(classid, objid, 0) FROM members AS m
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
LEFT JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
LEFT JOIN pg_type AS t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
WHERE coalesce(c.relnamespace, p.pronamespace, t.typnamespace)
    NOT IN ('crewsnow_ops'::regnamespace, '"Odd schema"'::regnamespace);

-- members in the target schema that the contract does not name
SELECT pg_describe_object(m.classid, m.objid, 0) FROM members AS m
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
LEFT JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE coalesce(c.relnamespace, p.pronamespace) = '"Odd schema"'::regnamespace
    AND coalesce(c.relname, p.proname) NOT IN
        ('feature_flags', 'is_feature_enabled_for_user', 'update_feature_flag',
        'event_log', 'log_system_event', 'processed_events', 'edge_functions_monitoring',
        'error_rate_monitoring', 'stripe_webhook_monitoring',
        'performance_health_check', 'analyze_slow_queries', 'connection_monitoring',
        'audit_all_rls_policies', 'generate_rls_checklist', 'run_day1_database_security_audit',
        'make_go_no_go_decision', 'make_launch_decision',
        'run_performance_maintenance', 'backup_log', 'test_backup_restore_procedure',
        'run_gdpr_maintenance');

-- objects without a COMMENT
SELECT pg_describe_object(classid, objid, 0) FROM members
WHERE classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
    AND obj_description(objid, classid::regclass::name) IS NULL;
SELECT attrelid::regclass, attname FROM members JOIN pg_attribute ON attrelid = objid
    AND classid = 'pg_class'::regclass
WHERE attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
    AND (SELECT relkind FROM pg_class WHERE oid = attrelid) IN ('r', 'v', 'm', 'p');
SELECT tgrelid::regclass, tgname FROM members JOIN pg_trigger ON tgrelid = objid
    AND classid = 'pg_class'::regclass
WHERE NOT tgisinternal AND obj_description(pg_trigger.oid, 'pg_trigger') IS NULL;
SELECT conrelid::regclass, conname FROM members JOIN pg_constraint ON conrelid = objid
    AND classid = 'pg_class'::regclass
WHERE contype <> 'n' AND obj_description(pg_constraint.oid, 'pg_constraint') IS NULL;
SELECT evtname FROM members JOIN pg_event_trigger AS e ON e.oid = objid
    AND classid = 'pg_event_trigger'::regclass
WHERE obj_description(e.oid, 'pg_event_trigger') IS NULL;
SELECT indexrelid::regclass FROM members JOIN pg_index ON indrelid = objid
    AND classid = 'pg_class'::regclass
WHERE obj_description(indexrelid, 'pg_class') IS NULL
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);

-- tables that pg_dump omits, except those that it omits on purpose
SELECT objid::regclass FROM members
WHERE classid = 'pg_class'::regclass
    AND (SELECT relkind FROM pg_class WHERE oid = objid) IN ('r', 'p')
    AND NOT objid = ANY ((SELECT extconfig FROM pg_extension WHERE extname = 'crewsnow_ops')::oid[])
    AND objid::regclass::text NOT IN ('crewsnow_ops.launch_flags', 'crewsnow_ops.access_privileges',
        -- constant rows
        'crewsnow_ops.rls_self_test_leaky', 'crewsnow_ops.rls_self_test_isolated',
        -- derived again from the restored rows
        'crewsnow_ops.rollup_state', 'crewsnow_ops.webhook_journal', 'crewsnow_ops.webhook_rollups',
        'crewsnow_ops.connection_samples',
        -- measured on this server
        'crewsnow_ops.health_samples', 'crewsnow_ops.statement_samples',
        'crewsnow_ops.matview_refreshes', 'crewsnow_ops.maintenance_runs',
        'crewsnow_ops.scheduled_jobs', 'crewsnow_ops.channel_states', 'crewsnow_ops.messages',
        'crewsnow_ops.delivery_attempts');

-- functions that run as their owner
SELECT objid::regprocedure FROM members JOIN pg_proc ON pg_proc.oid = objid
    AND classid = 'pg_proc'::regclass WHERE prosecdef;
-- functions without a fixed search_path, except those that run no SQL, or one INSERT that names no
-- function, operator or type
SELECT proname FROM members JOIN pg_proc ON pg_proc.oid = objid AND classid = 'pg_proc'::regclass
WHERE NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']
    AND proname NOT IN ('is_feature_enabled_for_user', 'explain_feature_flag', 'evaluate_all',
        'feature_flags_begin_statement', 'feature_flags_end_statement', 'latency_sketch',
        'merge_sketches', 'sketch_quantile', 'is_valid_event',
        'log_system_event', 'record_edge_call', 'mask_literals')
    AND proname NOT LIKE 'latency\_sketch\_%';

-- privileges of roles other than the owner, except three of PUBLIC: it may evaluate flags,
-- validate an event, and call the decision behind require_go, which demands EXECUTE on require_go
SELECT DISTINCT m.classid::regclass, pg_describe_object(m.classid, m.objid, 0), a.grantee::regrole,
    a.privilege_type
FROM members AS m
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
LEFT JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
LEFT JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
CROSS JOIN LATERAL aclexplode(coalesce(
    c.relacl, p.proacl, n.nspacl,
    CASE WHEN p.oid IS NOT NULL THEN acldefault('f', p.proowner)
        WHEN c.oid IS NOT NULL THEN acldefault('r', c.relowner) END)) AS a
WHERE a.grantee <> coalesce(c.relowner, p.proowner, n.nspowner)
    AND coalesce(p.proname, '') NOT IN
        ('is_feature_enabled_for_user', 'is_valid_event', 'require_go_decision');

-- objects in no access level, except those that belong to the owner alone on purpose
SELECT pg_describe_object(m.classid, m.objid, 0) FROM members AS m
LEFT JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
    AND c.relkind IN ('r', 'v', 'm', 'p')
WHERE (p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) OR c.oid IS NOT NULL)
    AND NOT EXISTS (
        SELECT FROM crewsnow_ops.access_privileges AS a
        WHERE CASE a.object_type WHEN 'FUNCTION' THEN a.object_name::regprocedure = p.oid
            WHEN 'TABLE' THEN a.object_name::regclass = c.oid END
    )
    AND coalesce(p.proname, c.relname) NOT IN
        ('is_feature_enabled_for_user', 'grant_access', 'revoke_access', 'adopt', 'launch_flags',
        'access_privileges', 'event_log_default', 'is_valid_event',
        'require_go_decision', 'backup_manifests', 'erasure_salts',
        'rls_self_test_leaky', 'rls_self_test_isolated')
    -- only the aggregates call these
    AND coalesce(p.proname, '') NOT LIKE 'latency\_sketch\_%';

-- volatility and parallel safety of functions in policies and plans
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc
WHERE proname IN ('is_feature_enabled_for_user', 'latency_sketch', 'merge_sketches',
    'sketch_quantile', 'mask_literals') ORDER BY proname;
