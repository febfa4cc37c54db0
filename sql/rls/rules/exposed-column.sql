-- Row-level security hides rows, not columns. Columns whose name indicates a secret and that client
-- roles may read; and column grants without effect, because the same role may read the whole table.
WITH
readers AS (
    SELECT c.oid, c.relowner, c.relname, c.relnamespace, c.relrowsecurity, c.relacl,
        r.oid AS client, r.rolname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
    WHERE c.relkind IN ('r', 'p')
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
),
-- Each name is matched once, however many tables have it.
column_names AS MATERIALIZED (
    SELECT DISTINCT a.attname
    FROM pg_attribute AS a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT t.oid FROM readers AS t)
),
secret_names AS MATERIALIZED (
    SELECT n.attname
    FROM column_names AS n
    WHERE replace(lower(regexp_replace(n.attname, '([a-z0-9])([A-Z])', '\1_\2', 'g')), '-', '_') ~ (
        '(^|_)(pass(word|wd|phrase|code)?|pwd|pin_?code|secret(_key)?|(private|api|service|auth'
        '|session|ssh|pgp|gpg|licen[cs]e|activation)_?key|apikey'
            || '|((access|refresh|session|bearer|oauth|auth|id|reset|invite|verification|recovery'
               '|confirmation)_)?token|credentials?|(invite|invitation|join|login|sign_?in|magic'
               '|reset)_(code|link)|jwt|otp|totp|(otp|totp|mfa|two_factor|2fa|session)_(secret'
               '|code)|(recovery|backup|auth|verification)_codes?'
            || '|ssn|social_security(_number)?|national_id|passport(_(number|id|no))?|tax_id'
               '|drivers?_licen[cs]e|credit_card|card_number|cv[vcn]|iban|bank_account|(account'
               '|routing|insurance)_number'
            || '|(medical|health)_record|mac_address|imei)(_(hash|hashed|salt|digest|encrypted'
               '|enc))?$')
),
secrets AS (
    SELECT t.oid, t.client, a.attname, a.attnum
    FROM readers AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN secret_names AS n ON n.attname = a.attname
    WHERE has_column_privilege(t.client, t.oid, a.attnum, 'SELECT')
),
open_tables AS (
    SELECT DISTINCT t.oid, t.client
    FROM readers AS t
    JOIN pg_policy AS p ON p.polrelid = t.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid AND f.clause = 'using'
        AND f.constant = 'true'
    WHERE t.relrowsecurity
        AND EXISTS (
            SELECT FROM unnest(p.polroles) AS r (oid)
            WHERE r.oid = 0 OR pg_has_role(t.client, r.oid, 'USAGE')
        )
),
redundant_grants AS (
    SELECT t.oid, t.client, array_agg(DISTINCT a.attname) AS columns, x.grantee
    FROM readers AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND a.attacl IS NOT NULL
    CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    WHERE x.privilege_type = 'SELECT' AND x.grantee IN (0, t.client)
        AND EXISTS (
            SELECT FROM aclexplode(t.relacl) AS w
            WHERE w.privilege_type = 'SELECT' AND w.grantee = x.grantee
        )
    GROUP BY t.oid, t.client, x.grantee
),
found AS (
    SELECT t.oid, t.relowner, t.relname, t.relnamespace, t.relrowsecurity,
        CASE
            WHEN count(s.attnum) = 0 THEN 4
            WHEN NOT t.relrowsecurity THEN 1
            WHEN bool_or(s.attnum IS NOT NULL AND o.oid IS NOT NULL) THEN 2
            ELSE 3
        END AS rank,
        array_agg(DISTINCT s.attname) FILTER (WHERE s.attname IS NOT NULL) AS secrets,
        string_agg(DISTINCT t.rolname, ', ') AS clients, array_agg(DISTINCT t.client) AS roles,
        max(i.columns::text)::name[] AS redundant_columns,
        max(i.grantee::bigint)::oid AS redundant_grantee
    FROM readers AS t
    LEFT JOIN secrets AS s ON s.oid = t.oid AND s.client = t.client
    LEFT JOIN open_tables AS o ON o.oid = t.oid AND o.client = t.client
    LEFT JOIN redundant_grants AS i ON i.oid = t.oid AND i.client = t.client
    WHERE s.attnum IS NOT NULL OR i.columns IS NOT NULL
    GROUP BY t.oid, t.relowner, t.relname, t.relnamespace, t.relrowsecurity
)
SELECT
    CASE WHEN f.rank < 3 AND f.relnamespace = ANY ($5) THEN 'HIGH' ELSE 'LOW' END AS severity,
    CASE WHEN f.rank = 3 THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence,
    'table ' || f.oid::regclass AS object, 'pg_class'::regclass::oid AS classid, f.oid AS objid,
    f.oid AS relation,
    CASE f.rank
        WHEN 1 THEN
            format('Client roles read %s of every row: row-level security is off.',
                array_to_string(f.secrets, ', '))
        WHEN 2 THEN
            format('Client roles read %s of every row: a policy admits all rows.',
                array_to_string(f.secrets, ', '))
        WHEN 3 THEN
            format('Client roles read %s of the rows they see. The column name indicates a secret.',
                array_to_string(f.secrets, ', '))
        ELSE
            format('The column grant on %s has no effect: the same role may read the whole table.',
                array_to_string(f.redundant_columns, ', '))
    END AS detail,
    'SELECT for ' || f.clients
        || CASE
            WHEN f.relrowsecurity THEN '; row-level security is on'
            ELSE '; row-level security is off'
        END AS evidence,
    CASE
        WHEN f.rank IN (1, 2) THEN
            CASE
                WHEN NOT pg_has_role(f.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    'REVOKE SELECT ON %s FROM PUBLIC, %s;', f.oid::regclass,
                    (
                        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                        FROM pg_roles AS r
                        WHERE r.oid = ANY (f.roles)
                    )
                )
                || coalesce(
                    (
                        SELECT format(
                            E'\nGRANT SELECT (%s) ON %s TO %s;',
                            string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
                            f.oid::regclass,
                            (
                                SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                                FROM pg_roles AS r
                                WHERE r.oid = ANY (f.roles)
                            )
                        )
                        FROM pg_attribute AS a
                        WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped
                            AND a.attname <> ALL (f.secrets)
                            AND (
                                SELECT
                                    bool_and(has_column_privilege(r.oid, f.oid, a.attnum, 'SELECT'))
                                FROM unnest(f.roles) AS r (oid)
                            )
                        HAVING count(*) > 0
                    ),
                    '')
        WHEN f.rank = 4 THEN
            CASE
                WHEN NOT pg_has_role(f.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    E'REVOKE SELECT ON %1$s FROM %2$s;\nGRANT SELECT (%3$s) ON %1$s TO %2$s;',
                    f.oid::regclass,
                    CASE f.redundant_grantee
                        WHEN 0 THEN 'PUBLIC'
                        ELSE quote_ident(pg_get_userbyid(f.redundant_grantee))
                    END,
                    (
                        SELECT string_agg(quote_ident(c.name), ', ')
                        FROM unnest(f.redundant_columns) AS c (name)
                    )
                )
    END AS remediation,
    CASE
        WHEN f.rank = 1 THEN format('sensitive_columns_exposed_%s_%s', n.nspname, f.relname)
    END AS cache_key
FROM found AS f
JOIN pg_namespace AS n ON n.oid = f.relnamespace
ORDER BY f.rank, f.relnamespace <> ALL ($5), object
LIMIT 200
