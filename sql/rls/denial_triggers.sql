-- $1 a table, $2 the bit of a command in tgtype, $3 its letter in pg_rewrite.ev_type. Triggers that
-- fire and rules that replace the command: kind, name, function, language, whether it runs as its
-- owner, whether a condition guards it, and the text of the body.
SELECT
    CASE WHEN t.tgtype & 64 > 0 THEN 'INSTEAD OF' WHEN t.tgtype & 2 > 0 THEN 'BEFORE' ELSE 'AFTER'
        END AS kind,
    quote_ident(t.tgname) AS name, f.oid::regprocedure::text AS function, l.lanname::text,
    f.prosecdef, t.tgqual IS NOT NULL OR t.tgattr::text <> '' AS is_guarded, f.prosrc
FROM pg_trigger AS t
JOIN pg_proc AS f ON f.oid = t.tgfoid
JOIN pg_language AS l ON l.oid = f.prolang
WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & $2 > 0
UNION ALL
SELECT
    'RULE', quote_ident(r.rulename), NULL, NULL, NULL, r.ev_qual::text <> '<>',
    CASE WHEN pg_get_ruledef(r.oid) ~ 'DO INSTEAD NOTHING;?$' THEN 'NOTHING' END
FROM pg_rewrite AS r
WHERE r.ev_class = $1 AND r.is_instead AND r.ev_type::text = $3 AND r.rulename <> '_RETURN'
ORDER BY 1, 2
