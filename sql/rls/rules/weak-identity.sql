-- Policies that identify users by something weak: an address or phone number, which can change; the
-- database user, which is the same for all requests of an API; a user written into the policy.
WITH
facts AS (
    SELECT f.*,
        EXISTS (
            SELECT FROM unnest(f.literal_identities) AS l (name)
            WHERE l.name ~ '^[0-9a-fA-F-]{32,36}$|@'
        ) AS by_literal,
        f.functions && ARRAY(
            SELECT p.oid
            FROM pg_proc AS p
            WHERE p.oid = ANY ($2) AND p.proname ~ 'mail'
        )
            OR f.claim_keys && ARRAY['email',
        'phone'] AS by_address,
        f.operators && ARRAY(
            SELECT o.oid
            FROM pg_operator AS o
            WHERE o.oprname IN ('~~', '~~*', '~', '~*')
        ) AS by_pattern
    FROM crewsnow_ops.rls_policy_facts() AS f
),
policies AS (
    SELECT p.oid, p.polrelid, p.polname, c.oid::regclass::text AS table_name,
        bool_or(f.by_address) AS by_address, bool_or(f.by_address AND f.by_pattern) AS by_pattern,
        bool_or(f.uses_session_user AND cardinality($2) > 0) AS by_session,
        bool_or(f.by_literal) AS by_literal,
        string_agg(
            format('%s (%s)', CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
                f.expression),
            ' ' ORDER BY f.clause DESC) AS expressions
    FROM facts AS f
    JOIN pg_policy AS p ON p.oid = f.policy
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    WHERE (f.by_address OR f.uses_session_user AND cardinality($2) > 0 OR f.by_literal)
        AND EXISTS (
            SELECT FROM unnest($1) AS r (oid), unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE')
        )
    GROUP BY p.oid, c.oid
)
SELECT
    CASE WHEN p.by_address OR p.by_session THEN 'MEDIUM' ELSE 'LOW' END AS severity,
    'SUSPECTED' AS confidence,
    format('policy "%s" on %s', replace(p.polname, '"', '""'), p.table_name) AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    concat_ws(
        ' ',
        CASE
            WHEN p.by_pattern THEN
                'The policy matches the address or phone number of the caller against a pattern: '
                'other users can choose one that matches.'
            WHEN p.by_address THEN
                'The policy identifies the caller by address or phone number: these change, may be '
                'unconfirmed, and compare by case.'
        END,
        CASE
            WHEN p.by_session
                THEN 'The policy checks the database user, which is the same for all requests.'
        END,
        CASE
            WHEN p.by_literal
                THEN 'The policy names a user in its text: that access stays when the user leaves.'
        END
    ) AS detail,
    p.expressions AS evidence, NULL::text AS remediation, NULL::text AS cache_key
FROM policies AS p
ORDER BY NOT (p.by_address OR p.by_session), object
LIMIT 200
