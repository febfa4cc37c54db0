-- $1 functions, $2 names of identity functions and of settings with claims, as a regular
-- expression. Facts from the text of each function and of those that it calls: settings that it
-- reads by name, whether it reads the connection or the time, keys of claims, and constants that a
-- claim may be compared with. Comments are removed first.
WITH RECURSIVE
bodies AS MATERIALIZED (
    SELECT p.oid, p.proname, regexp_replace(regexp_replace(
        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
        '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
    WHERE p.prokind = 'f'
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass
            AND d.objid = p.oid AND d.deptype = 'e')
),
called AS (
    SELECT b.oid AS root, b.oid, b.body, 1 AS depth
    FROM bodies AS b
    WHERE b.oid = ANY ($1)
    UNION
    SELECT c.root, b.oid, b.body, c.depth + 1
    FROM called AS c
    CROSS JOIN LATERAL regexp_matches(c.body, '([\w$]+)"?\s*\(', 'g') AS m
    JOIN bodies AS b ON b.proname = m[1] AND b.oid <> c.oid AND b.oid <> c.root
    WHERE c.depth < 3
),
words AS (
    SELECT c.root, string_agg(c.body, E'\n') AS body
    FROM (SELECT DISTINCT c.root, c.oid, c.body FROM called AS c) AS c
    GROUP BY c.root
)
SELECT
    w.root,
    ARRAY(
        SELECT DISTINCT lower(m[1])
        FROM regexp_matches(w.body, $$current_setting\s*\(\s*'([^']+)'$$, 'gi') AS m
    ) AS settings,
    w.body ~* ('\m(session_user|inet_client_addr|inet_client_port|inet_server_addr'
        || '|inet_server_port|pg_backend_pid)\M') AS reads_connection,
    w.body ~* ('\m(now\s*\(|current_(date|time|timestamp)\M|localtime(stamp)?\M'
        || '|(transaction|statement|clock)_timestamp\s*\()') AS reads_time,
    CASE WHEN w.body ~* $2 THEN ARRAY(
        SELECT DISTINCT concat_ws('.', m[1], m[2])
        FROM regexp_matches(w.body,
            $$(?:->\s*'((?:app|user)_metadata)'(?:::\w+)?\s*\)?\s*)?->>?\s*'([\w-]+)'$$, 'g') AS m
        WHERE m[2] NOT IN ('app_metadata', 'user_metadata')
    ) END AS claims,
    ARRAY(
        SELECT DISTINCT v.value
        FROM (
            SELECT m[1] AS value
            FROM regexp_matches(w.body, $$(?:=|<>|\min\s*\(|,|\[)\s*'([\w .:-]{1,40})'$$, 'gi') AS m
            UNION ALL
            SELECT e.enumlabel
            FROM regexp_matches(w.body, '::\s*([\w$.]+)', 'g') AS m
            JOIN pg_enum AS e ON e.enumtypid = to_regtype(m[1])
        ) AS v
        LIMIT 12
    ) AS constants,
    -- The type that a value must have: 0 for a label of an enum, or the type of an id.
    coalesce(
        (
            SELECT 0::oid
            FROM regexp_matches(w.body, '::\s*([\w$.]+)', 'g') AS m
            JOIN pg_enum AS e ON e.enumtypid = to_regtype(m[1])
            LIMIT 1
        ),
        (
            SELECT t.type::oid
            FROM regexp_matches(w.body, '(?:::|\mas\M)\s*(?:pg_catalog\.)?(\w+)', 'gi') AS m
            JOIN (VALUES ('uuid', 'uuid'::regtype), ('integer', 'int4'), ('int', 'int4'),
                ('int4', 'int4'), ('bigint', 'int8'), ('int8', 'int8'), ('smallint', 'int2'),
                ('int2', 'int2')) AS t (name, type) ON t.name = lower(m[1])
            LIMIT 1
        )
    ) AS value_type
FROM words AS w
