\pset footer off
CREATE TEMP VIEW cost AS
SELECT label, min(nanoseconds) - (SELECT min(nanoseconds) FROM bench.results WHERE label = 'scan') AS ns
FROM bench.results WHERE label NOT LIKE '%scan' GROUP BY label;
CREATE TEMP VIEW ratios AS
SELECT a.label, b.label AS rival, a.ns, a.ns / b.ns AS ratio
FROM cost AS a CROSS JOIN cost AS b;
\echo
\echo 'Evaluation, a row of a scan over 1,000,000 users, over the bare scan'
SELECT label AS evaluation, round(ns::numeric, 1) AS "ns/call" FROM cost ORDER BY ns;
SELECT r.label AS "what", r.rival AS "against", round(r.ratio::numeric, 2) AS ratio, g.goal
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
JOIN ratios AS r ON r.label = g.label AND r.rival = g.rival
ORDER BY g.n;
