-- The registered materialized views of this database, each after those that it reads. A refresh is
-- CONCURRENTLY where the server allows it. problem: why the caller cannot refresh it.
WITH RECURSIVE
registered AS (
    SELECT c.oid, c.relnamespace, c.relname, c.relowner, c.relispopulated, r.refreshed_at
    FROM crewsnow_ops.matview_refreshes AS r
    JOIN pg_class AS c ON c.oid = r.relid AND c.relkind = 'm'
),
-- Other views may lie between. UNION, because there may be many ways from one to another.
reads (reader, relation) AS (
    SELECT r.oid, r.oid FROM registered AS r
    UNION
    SELECT e.reader, d.refobjid
    FROM reads AS e
    JOIN pg_rewrite AS w ON w.ev_class = e.relation AND w.rulename = '_RETURN'
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
)
SELECT r.oid, format('%I.%I', n.nspname, r.relname) AS name,
    r.relispopulated AND EXISTS (
        SELECT FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = x.relam
        WHERE i.indrelid = r.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
            AND i.indpred IS NULL AND m.amname = 'btree' AND 0 <> ALL (i.indkey::smallint[])
    ) AS is_concurrent,
    to_char(r.refreshed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS refreshed_at,
    CASE WHEN NOT pg_has_role(r.relowner, 'USAGE')
            AND NOT (current_setting('server_version_num')::integer >= 170000
                AND has_table_privilege(r.oid, 'MAINTAIN'))
        THEN format('only its owner %I may', pg_get_userbyid(r.relowner))
    END AS problem
FROM registered AS r
JOIN pg_namespace AS n ON n.oid = r.relnamespace
ORDER BY (SELECT count(*) FROM reads AS e JOIN registered AS o ON o.oid = e.relation
        WHERE e.reader = r.oid), 2
