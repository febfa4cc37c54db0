-- $1 oid: a table, materialized view or TOAST table; $2 oid: the table that it belongs to
-- Takes no lock on the table. No row if it was dropped.
SELECT
    format('%I.%I', mn.nspname, m.relname) AS main,
    format('%I.%I', tn.nspname, t.relname) AS target,
    pg_get_userbyid(m.relowner)::text AS owner,
    pg_has_role(m.relowner, 'USAGE')
        OR (NOT m.relisshared AND EXISTS (
            SELECT FROM pg_database AS d
            WHERE d.datname = current_database() AND pg_has_role(d.datdba, 'USAGE')
        ))
        OR CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN has_table_privilege(m.oid, 'MAINTAIN') ELSE false END AS may_vacuum,
    has_schema_privilege(t.relnamespace, 'USAGE') AS may_name,
    jsonb_build_object(
        'dead_rows', pg_stat_get_dead_tuples(t.oid),
        'live_rows', pg_stat_get_live_tuples(t.oid),
        'inserted_rows', pg_stat_get_ins_since_vacuum(t.oid),
        'changed_rows', pg_stat_get_mod_since_analyze(t.oid),
        'frozen_age', age(t.relfrozenxid),
        'multixact_age', mxid_age(t.relminmxid),
        'pages', t.relpages,
        'visible_pages', t.relallvisible
    ) AS figures,
    pg_stat_get_vacuum_count(t.oid) AS vacuum_count,
    pg_stat_get_analyze_count(t.oid) AS analyze_count,
    greatest(pg_stat_get_last_vacuum_time(t.oid), pg_stat_get_last_autovacuum_time(t.oid))
        AS last_vacuum,
    m.relisshared AND current_setting('autovacuum')::boolean AS is_left_to_autovacuum
FROM pg_class AS t
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_class AS m ON m.oid = $2
JOIN pg_namespace AS mn ON mn.oid = m.relnamespace
WHERE t.oid = $1
