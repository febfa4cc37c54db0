-- $1 functions. The settings that their bodies read by name, and whether they read the connection,
-- the time, or the claim of an anonymous sign-in. Comments are removed first.
SELECT
    p.oid,
    ARRAY(
        SELECT DISTINCT lower(m[1])
        FROM regexp_matches(b.body, $$current_setting\s*\(\s*'([^']+)'$$, 'gi') AS m
    ) AS settings,
    b.body ~* ('\m(session_user|inet_client_addr|inet_client_port|inet_server_addr'
        || '|inet_server_port|pg_backend_pid)\M') AS reads_connection,
    b.body ~* 'is_anonymous' AS tells_guests
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
CROSS JOIN LATERAL (
    -- Without what is only said about it.
    SELECT regexp_replace(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
        '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') AS body
) AS b
WHERE p.oid = ANY ($1)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
