-- The invalid indexes of this database that no session builds. Leftovers of REINDEX and DROP INDEX
-- CONCURRENTLY come first, then the smallest. problem: why a run leaves the index alone. command is
-- then for people.
WITH
invalid AS (
    SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisexclusion, c.relkind, c.relname,
        c.relnamespace, c.relpages, c.relpersistence, t.relname AS table_name,
        t.relnamespace AS table_schema, t.relowner, t.relkind AS table_kind,
        -- A DROP INDEX CONCURRENTLY that was cut short has cleared indislive.
        NOT i.indislive OR c.relname ~ '_cc(new|old)\d*$' AND c.relkind = 'i' AS is_leftover
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE NOT i.indisvalid
),
-- A build holds this lock on its table until it ends, in each of its transactions. The rest of its
-- row is hidden from other users. REINDEX TABLE CONCURRENTLY has made all its indexes before the
-- first one is built, so any index of its table may be in use.
builds AS (
    SELECT DISTINCT l.relation
    FROM pg_stat_progress_create_index AS p
    JOIN pg_locks AS l ON l.pid = p.pid AND l.locktype = 'relation' AND l.granted
        AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'AccessExclusiveLock')
    WHERE p.datname = current_database()
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    UNION
    -- DROP INDEX CONCURRENTLY of another session.
    SELECT l.relation
    FROM pg_locks AS l JOIN invalid AS v ON v.indexrelid = l.relation
    WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
),
named AS (
    SELECT v.*, format('%I.%I', n.nspname, v.relname) AS qualified, n.nspname AS schema_name,
        -- The index of a TOAST table is reported with its main table.
        CASE WHEN v.table_kind = 't'
            THEN (SELECT format('%I.%I', mn.nspname, m.relname) FROM pg_class AS m
                JOIN pg_namespace AS mn ON mn.oid = m.relnamespace
                WHERE m.reltoastrelid = v.indrelid)
            ELSE format('%I.%I', tn.nspname, v.table_name) END AS on_table
    FROM invalid AS v
    JOIN pg_namespace AS n ON n.oid = v.relnamespace
    JOIN pg_namespace AS tn ON tn.oid = v.table_schema
    WHERE NOT EXISTS (SELECT FROM builds AS b WHERE b.relation IN (v.indrelid, v.indexrelid))
        -- Temporary tables are out of the worker's reach.
        AND v.relpersistence <> 't'
)
SELECT v.indexrelid AS oid, v.indrelid AS table_oid, v.schema_name::text,
    v.relname::text AS name, v.on_table, v.is_leftover, v.indisunique AS is_unique,
    CASE WHEN NOT pg_has_role(v.relowner, 'USAGE')
            THEN format('only the owner %I of its table may', pg_get_userbyid(v.relowner))
        WHEN v.is_leftover AND EXISTS (SELECT FROM pg_constraint AS o
            WHERE o.conindid = v.indexrelid)
            THEN 'a constraint needs it'
        WHEN v.relkind = 'I' THEN 'some partitions lack their index'
        WHEN v.table_schema = 'pg_catalog'::regnamespace
            THEN 'an index of the catalog cannot be rebuilt beside other sessions'
        WHEN v.indisexclusion AND NOT v.is_leftover
            THEN 'an exclusion constraint cannot be rebuilt beside writers'
    END AS problem,
    CASE WHEN v.relkind = 'I'
            THEN format('SELECT inhrelid::pg_catalog.regclass FROM pg_catalog.pg_inherits '
                'WHERE inhparent = %L::pg_catalog.regclass;', v.qualified)
        WHEN v.is_leftover THEN format('DROP INDEX CONCURRENTLY %s;', v.qualified)
        WHEN v.table_schema = 'pg_catalog'::regnamespace OR v.indisexclusion
            THEN format('REINDEX INDEX %s;', v.qualified)
        ELSE format('REINDEX INDEX CONCURRENTLY %s;', v.qualified)
    END AS command,
    pg_get_indexdef(v.indexrelid) AS definition
FROM named AS v
ORDER BY v.is_leftover DESC, v.relpages, v.qualified
