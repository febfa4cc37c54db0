-- $1 values of the arguments, $2 ids of other accounts. Counts the results of a call that are not
-- empty, and those that name one of the accounts. The digest tells two calls apart that differ by
-- more than their arguments; no value leaves the query. @call@ is a call.
WITH
results AS (
    SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.to_jsonb(r))::pg_catalog.text AS result
    FROM @call@ AS r
    LIMIT 1000
),
plain AS (
    SELECT s.result, a.result AS without_arguments
    FROM results AS s
    CROSS JOIN LATERAL (
        SELECT pg_catalog.string_agg(p.part, '') AS result
        FROM pg_catalog.regexp_split_to_table(
            s.result,
            (
                SELECT coalesce(pg_catalog.string_agg(
                    pg_catalog.regexp_replace(v.value, '(\W)', '\\\1', 'g'), '|'), '^$')
                FROM pg_catalog.unnest($1) AS v (value)
                WHERE pg_catalog.length(v.value) OPERATOR(pg_catalog.>) 3
            )
        ) AS p (part)
    ) AS a
    WHERE s.result OPERATOR(pg_catalog.<>) ALL (
        ARRAY['null', 'false', '0', '""', '[]', '{}']::pg_catalog.text[]
    )
)
SELECT
    pg_catalog.count(*),
    pg_catalog.count(*) FILTER (
        WHERE EXISTS (
            SELECT FROM pg_catalog.unnest($2) AS o (id)
            WHERE pg_catalog.strpos(p.result, o.id) OPERATOR(pg_catalog.>) 0
        )
    ),
    pg_catalog.md5(coalesce(pg_catalog.string_agg(p.without_arguments, ' '
        ORDER BY p.without_arguments), ''))
FROM plain AS p
