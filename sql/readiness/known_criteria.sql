-- All criteria, for suggestions of similar names. $1: requested validity of evidence.
-- $2: the measures that need recorded evidence.
SELECT
    c.name,
    c.fresh_for::text,
    $1 > interval '0' AND $1 <= c.fresh_for,
    c.is_blocker,
    'tests' = ANY (c.measures),
    c.measures && $2
FROM crewsnow_ops.criteria AS c
ORDER BY c.name
