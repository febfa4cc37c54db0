-- Row-level security: who can read and write whose rows.
CREATE FUNCTION crewsnow_ops.rls_matrix(p_relation regclass DEFAULT NULL) RETURNS TABLE (
    relation text, reach text, role text, identity text, verdict text, confidence text, using_expression text, check_expression text,
    policies text[], remark text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_matrix_wrapper';
CREATE FUNCTION crewsnow_ops.audit_rls() RETURNS TABLE (
    finding text, rule text, severity text, confidence text, object text, detail text, evidence text, remediation text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'audit_rls_wrapper';
