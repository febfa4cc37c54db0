-- $1 audit id, or NULL for the latest; $2 and $3 present findings and severities; $4 to $8 present
-- verdicts; $9 and $10 inconclusive tables and rules; $11 rules whose findings are verdicts on a
-- table. Returns the differences from the stored audit.
WITH
run AS (
    SELECT r.run, r.ran_at
    FROM crewsnow_ops.rls_runs AS r
    WHERE $1 IS NULL OR r.run = $1
    ORDER BY r.ran_at DESC
    LIMIT 1
),
ranks AS (
    SELECT *
    FROM unnest(
        ARRAY['NO ACCESS', 'CLOSED', 'ISOLATED', 'SHARED', 'INCONCLUSIVE', 'FAILING', 'EXEMPT',
            'PUBLIC', 'LEAK']
    ) WITH ORDINALITY AS r (verdict, rank)
),
present_findings AS (
    SELECT f.finding, f.severity FROM unnest($2, $3) AS f (finding, severity)
),
stored_findings AS (
    SELECT f.finding, f.severity::text
    FROM crewsnow_ops.rls_run_findings AS f
    JOIN run AS r ON r.run = f.run
),
present_verdicts AS (
    SELECT v.relation, v.reach, v.role, v.verdict, v.condition, k.rank
    FROM unnest($4, $5, $6, $7, $8) AS v (relation, reach, role, verdict, condition)
    JOIN ranks AS k ON k.verdict = v.verdict
),
stored_verdicts AS (
    SELECT v.relation, v.reach, v.role, v.verdict, v.condition, k.rank
    FROM crewsnow_ops.rls_run_verdicts AS v
    JOIN run AS r ON r.run = v.run
    JOIN ranks AS k ON k.verdict = v.verdict
),
changes AS (
    SELECT
        CASE
            WHEN 'INCONCLUSIVE' IN (n.verdict, t.verdict) AND 'LEAK' IS DISTINCT FROM n.verdict
            THEN 'CHANGED'
            WHEN coalesce(n.rank, 1) > coalesce(t.rank, 1) THEN 'WIDENED'
            WHEN coalesce(n.rank, 1) < coalesce(t.rank, 1) THEN 'NARROWED'
            ELSE 'CHANGED'
        END AS change,
        format(
            '%s on %s by %s', coalesce(n.reach, t.reach), coalesce(n.relation, t.relation),
            coalesce(n.role, t.role)
        ) AS object,
        coalesce(t.verdict || ': ' || t.condition, 'NO ACCESS') AS before,
        coalesce(n.verdict || ': ' || n.condition, 'NO ACCESS') AS after
    FROM present_verdicts AS n
    FULL JOIN stored_verdicts AS t
        ON t.relation = n.relation AND t.reach = n.reach AND t.role = n.role
    WHERE (n.verdict, n.condition) IS DISTINCT FROM (t.verdict, t.condition)
    UNION ALL
    SELECT
        CASE
            WHEN t.finding IS NULL THEN 'OPENED'
            WHEN n.finding IS NULL AND NOT u.is_inconclusive THEN 'CLOSED'
            ELSE 'CHANGED'
        END,
        coalesce(n.finding, t.finding),
        t.severity,
        CASE
            WHEN n.finding IS NULL AND u.is_inconclusive THEN 'INCONCLUSIVE'
            ELSE n.severity
        END
    FROM present_findings AS n
    FULL JOIN stored_findings AS t ON t.finding = n.finding
    CROSS JOIN LATERAL (
        SELECT split_part(t.finding, ' ', 1) = ANY ($10)
            OR split_part(t.finding, ' ', 1) = ANY ($11)
            AND EXISTS (
                SELECT
                FROM unnest($9) AS r (relation)
                WHERE right(t.finding, length(r.relation) + 1) = ' ' || r.relation
            )
    ) AS u (is_inconclusive)
    WHERE n.severity IS DISTINCT FROM t.severity
)
SELECT c.change, c.object, c.before, c.after, r.ran_at
FROM changes AS c
CROSS JOIN run AS r
ORDER BY
    array_position(ARRAY['WIDENED', 'OPENED', 'CHANGED', 'NARROWED', 'CLOSED'], c.change), c.object
