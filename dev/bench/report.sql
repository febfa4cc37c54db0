\pset footer off
\echo
\echo 'Cost of an evaluation per row of a scan, over the bare scan'
SELECT label AS evaluation, round(min(nanoseconds)::numeric, 1) AS "ns a call"
FROM bench.results GROUP BY label ORDER BY 2;
WITH cost AS (SELECT label, min(nanoseconds) AS ns FROM bench.results GROUP BY label)
SELECT g.label AS "measured", g.rival AS "against",
    round((a.ns / b.ns)::numeric, 2) AS ratio, g.goal
FROM (VALUES
    (1, '100 %', 'empty native function', '<= 2'),
    (2, '50 %', 'empty native function', '<= 5'),
    (3, 'PL/pgSQL, 100 %', '100 %', '>= 150'),
    (4, 'PL/pgSQL, 50 %', '50 %', '>= 150'),
    (5, 'least PL/pgSQL, 50 %', '50 %', NULL),
    (6, '100 %, 10,000 flags', '100 %', '<= 1.2'),
    (7, '50 %, 10,000 flags', '50 %', '<= 1.2'),
    (8, 'two flags in turn, 10,000 flags', 'two flags in turn', NULL),
    (9, 'PL/pgSQL, 50 %', 'targeted by table', NULL)
) AS g (n, label, rival, goal)
JOIN cost AS a ON a.label = g.label
JOIN cost AS b ON b.label = g.rival
ORDER BY g.n;
