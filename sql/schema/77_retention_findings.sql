CREATE FUNCTION crewsnow_ops.retention_findings()
    RETURNS TABLE (severity text, finding text, object text, columns text, detail text,
        command text)
    LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'retention_findings_wrapper';
COMMENT ON FUNCTION crewsnow_ops.retention_findings() IS
    'Tables that keep personal data, or only grow, without a retention policy; policies whose time '
    'column has no index; policies that are off. A column is personal by its reference to '
    'crewsnow_ops.users_table, its name, its type, or the shape of the values in pg_stats, which '
    'are never shown. A table is covered by a policy of its own or by the cascades_to of another. '
    'Reads catalogs only; never vacuumed tables are judged by names and types. command adds a '
    'policy that is off, for you to complete.';
REVOKE ALL ON FUNCTION crewsnow_ops.retention_findings() FROM PUBLIC;
INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.retention_findings()');
