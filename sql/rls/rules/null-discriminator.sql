-- Policy that admits rows without an owner or tenant ("OR tenant_id IS NULL"). A row whose column
-- was not filled in, or was cleared by ON DELETE SET NULL, is open to all users.
WITH
found AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, c.oid::regclass::text AS table_name, c.relowner,
        a.attname,
        string_agg(
            DISTINCT format('%s (%s)',
                CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END, f.expression),
            ' ') AS expressions
    FROM crewsnow_ops.rls_policy_facts() AS f
    JOIN pg_policy AS p ON p.oid = f.policy AND p.polpermissive
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (f.columns) AND NOT a.attnotnull
    WHERE f.constant IS NULL AND (f.identity_calls > 0 OR cardinality(f.settings) > 0)
        AND (
            a.attnum = ANY (f.owner_columns)
                OR a.attname ~*
                    '(^|_)(user|owner|author|creator|tenant|team|org(ani[sz]ation)?|account'
                    '|customer|company|workspace|group|member|profile)(_?(id|uuid|by))?$|created_by'
        )
        -- The text does not show whether IS NULL stands under an AND: hence SUSPECTED.
        AND (
            f.expression ~ (
                '(^|[^\w."])' || regexp_replace(quote_ident(a.attname), '\W', '\\\&', 'g')
                    || ' IS NULL')
                OR f.expression ~* (
                    'coalesce\(' || regexp_replace(quote_ident(a.attname), '\W', '\\\&', 'g')
                        || ', \(? ?(select )?' || '[^)]*(uid|current_setting)'))
        AND EXISTS (
            SELECT FROM unnest($1) AS r (oid), unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE')
        )
    GROUP BY p.oid, c.oid, a.attname
)
SELECT
    CASE f.polcmd WHEN 'r' THEN 'LOW' ELSE 'MEDIUM' END AS severity, 'SUSPECTED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.table_name) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    format('The policy admits rows without %s for all users, and the column may be NULL.',
        f.attname) AS detail,
    format('%s; %s is nullable', f.expressions, f.attname) AS evidence,
    CASE
        WHEN NOT pg_has_role(f.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', f.table_name,
            f.attname) AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.polcmd = 'r', object, f.attname
LIMIT 200
