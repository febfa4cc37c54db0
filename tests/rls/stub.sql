-- Stands in for what the extension reads from the trees of policies, as far as text and pg_depend can tell: for the tests of the rules
-- until the extension has these functions.
CREATE SCHEMA IF NOT EXISTS crewsnow_ops;
CREATE FUNCTION crewsnow_ops.rls_policy_facts() RETURNS TABLE (
    policy oid, clause text, expression text, constant text, columns int2[], functions oid[], operators oid[], identity_calls int,
    unwrapped_identity_calls int, is_volatile bool, relations oid[], uncorrelated_relations oid[], claim_keys text[], settings text[],
    uses_session_user bool, literal_identities text[], owner_columns int2[]
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH
clauses AS (
    SELECT p.oid AS policy, p.polrelid, c.clause, pg_get_expr(c.tree, p.polrelid) AS expression
    FROM pg_policy AS p, LATERAL (VALUES ('using', p.polqual), ('check', p.polwithcheck)) AS c (clause, tree)
    WHERE c.tree IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = p.polrelid AND d.deptype = 'e')
),
texts AS (
    -- What SQL functions without SET say is part of the clause.
    SELECT c.*, concat_ws(E'\n', c.expression, (
            SELECT string_agg(f.prosrc, E'\n') FROM pg_depend AS d JOIN pg_proc AS f ON f.oid = d.refobjid
            WHERE d.classid = 'pg_policy'::regclass AND d.objid = c.policy AND d.refclassid = 'pg_proc'::regclass
                AND f.prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql') AND f.proconfig IS NULL AND NOT f.prosecdef
                AND f.pronamespace <> 'auth'::regnamespace)) AS all_text
    FROM clauses AS c
),
called AS (
    SELECT t.policy, t.clause, f.oid
    FROM texts AS t
    JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = t.policy AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc AS f ON f.oid = d.refobjid
    WHERE position(quote_ident(f.proname) || '(' IN t.expression) > 0
)
SELECT
    t.policy, t.clause, t.expression,
    CASE WHEN t.expression IN ('true', '(1 = 1)', '(NOT false)') THEN 'true' WHEN t.expression = 'false' THEN 'false'
        WHEN t.expression = 'NULL::boolean' THEN 'null' END,
    ARRAY(SELECT a.attnum FROM pg_attribute AS a WHERE a.attrelid = t.polrelid AND a.attnum > 0 AND NOT a.attisdropped
        AND t.expression ~ ('(^|[^\w."])((' || regexp_replace(t.polrelid::regclass::text, '\W', '\\\&', 'g') || '|' || regexp_replace((SELECT quote_ident(relname) FROM pg_class WHERE oid = t.polrelid), '\W', '\\\&', 'g') || ')\.)?'
            || regexp_replace(quote_ident(a.attname), '\W', '\\\&', 'g') || '([^\w."(]|$)')),
    ARRAY(SELECT c.oid FROM called AS c WHERE c.policy = t.policy AND c.clause = t.clause),
    ARRAY(SELECT o.oid FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft = 'text'::regtype AND o.oprright = 'text'::regtype
        AND o.oprname IN ('~~', '~~*') AND position(' ' || o.oprname || ' ' IN t.all_text) > 0),
    regexp_count, regexp_count - wrapped,
    EXISTS (SELECT FROM called AS c JOIN pg_proc AS f ON f.oid = c.oid WHERE c.policy = t.policy AND c.clause = t.clause AND f.provolatile = 'v'),
    ARRAY(SELECT DISTINCT d.refobjid FROM pg_depend AS d WHERE d.classid = 'pg_policy'::regclass AND d.objid = t.policy
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> t.polrelid AND d.deptype = 'n'
        AND position((SELECT quote_ident(relname) FROM pg_class WHERE oid = d.refobjid) IN t.expression) > 0),
    ARRAY[]::oid[],
    ARRAY(SELECT DISTINCT m[1] FROM regexp_matches(t.all_text, '->>?\s*''([^'']*)''', 'g') AS m),
    ARRAY(SELECT DISTINCT m[1] FROM regexp_matches(t.all_text, 'current_setting\(''([^'']*)''', 'g') AS m),
    t.all_text ~* '\m(current_user|session_user|current_role)\M',
    ARRAY(SELECT DISTINCT m[2] FROM regexp_matches(t.all_text, 'auth\.(uid|email)\(\)(?: AS \w+\))? = ''([^'']*)''', 'g') AS m),
    ARRAY(SELECT DISTINCT a.attnum FROM pg_attribute AS a WHERE a.attrelid = t.polrelid AND a.attnum > 0 AND NOT a.attisdropped
        AND t.expression ~ ('(^|[^\w."])(' || regexp_replace(t.polrelid::regclass::text, '\W', '\\\&', 'g') || '\.)?' || regexp_replace(quote_ident(a.attname), '\W', '\\\&', 'g') || ' = (\( SELECT )?auth\.(uid|email)\(\)'))
FROM texts AS t,
LATERAL (SELECT
    (SELECT count(*)::int FROM regexp_matches(t.expression, 'auth\.(uid|jwt|role|email)\(\)', 'g')) AS regexp_count,
    (SELECT count(*)::int FROM regexp_matches(t.expression, 'SELECT (?:\w+\.)?(?:\w+\([^()]*|\(*)auth\.(uid|jwt|role|email)\(\)', 'g')) AS wrapped) AS n
$$;
CREATE FUNCTION crewsnow_ops.rls_owner_columns() RETURNS TABLE (relation oid, attnum int2, basis text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT k.conrelid, k.conkey[1], 'foreign key' FROM pg_constraint AS k
WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.confrelid IN (to_regclass('auth.users'), to_regclass('public.users'))
UNION ALL
SELECT DISTINCT p.polrelid, u.attnum, 'policy' FROM crewsnow_ops.rls_policy_facts() AS f JOIN pg_policy AS p ON p.oid = f.policy, unnest(f.owner_columns) AS u (attnum)
WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = p.polrelid AND k.contype = 'f' AND k.conkey = ARRAY[u.attnum]
    AND k.confrelid IN (to_regclass('auth.users'), to_regclass('public.users')))
$$;
