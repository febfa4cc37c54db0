-- Vulnerabilities of PostgreSQL itself that concern row-level security, with the minor releases
-- that close them, as known on 2026-11-25. Only for the versions that the extension supports.
WITH
vulnerabilities (cve, closed_in, description) AS (
    VALUES
        ('CVE-2023-2455', '{"15": 3}'::jsonb,
            'a policy may be applied for the wrong user after a function is inlined'),
        ('CVE-2023-39418', '{"15": 4}', 'MERGE does not apply the policies for UPDATE and SELECT'),
        ('CVE-2024-10976', '{"15": 9, "16": 5, "17": 1}',
            'policies of tables below a sub-query may be applied for the wrong role'),
        ('CVE-2024-10978', '{"15": 9, "16": 5, "17": 1}',
            'SET ROLE and SET SESSION AUTHORIZATION may be reset to the wrong user'),
        ('CVE-2025-8713', '{"15": 14, "16": 10, "17": 6}',
            'statistics of partitions and children reveal values that policies hide'),
        ('CVE-2026-120154', '{"15": 20, "16": 16, "17": 12, "18": 7}',
            'INSERT … ON CONFLICT DO UPDATE reads every row'),
        ('CVE-2026-16237', '{"15": 20, "16": 16, "17": 12, "18": 7}',
            'INSERT … ON CONFLICT DO UPDATE writes every row')
),
server AS (
    SELECT current_setting('server_version_num')::int / 10000 AS major,
        current_setting('server_version_num')::int % 10000 AS minor
)
SELECT
    'HIGH' AS severity,
    CASE WHEN k.cve LIKE 'CVE-2026-%' THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence,
    'server, ' || k.cve AS object, NULL::oid AS classid, NULL::oid AS objid, NULL::oid AS relation,
    format('This version of PostgreSQL has a vulnerability: %s. Install %s.%s or later.',
        k.description, s.major, k.closed_in ->> s.major::text) AS detail,
    format('runs %s.%s, closed in %s.%s', s.major, s.minor, s.major,
        k.closed_in ->> s.major::text) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM vulnerabilities AS k
CROSS JOIN server AS s
WHERE s.minor < (k.closed_in ->> s.major::text)::int
ORDER BY object DESC
LIMIT 200
