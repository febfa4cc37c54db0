\pset footer off
CREATE VIEW bench.medians AS
SELECT what, percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric AS median,
    count(*) AS runs
FROM bench.results GROUP BY what;

-- The median of the ratios of each round, because a change of the machine's speed hits both sides.
CREATE VIEW bench.rounds AS
SELECT what, value, row_number() OVER (PARTITION BY what ORDER BY n) AS round FROM bench.results;
CREATE FUNCTION bench.ratio(what text, rival text) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY w.value / r.value))::numeric, 2)
    FROM bench.rounds AS w JOIN bench.rounds AS r ON r.what = ratio.rival AND r.round = w.round
    WHERE w.what = ratio.what
$$;

\echo
\echo 'The views, after rolling up, with 2,000 events or webhooks uncounted; medians in ms'
SELECT v.what AS view, round(1e3 * v.median, 2) AS "view, ms", v.runs,
    round(1e3 * r.median, 1) AS "raw rows, ms", r.runs, round(r.median / v.median) AS ratio,
    CASE WHEN r.what IS NOT NULL THEN '>= 100, view <= 20 ms' END AS goal
FROM (VALUES
    (1, 'edge_functions_monitoring'), (2, 'error_rate_monitoring'),
    (3, 'stripe_webhook_monitoring'), (4, 'dashboard')
) AS g (n, what)
JOIN bench.medians AS v ON v.what = g.what
LEFT JOIN bench.medians AS r ON r.what = 'rival of ' || g.what
ORDER BY g.n;
SELECT m.what AS "for information", round(1e3 * m.median, 1) AS ms
FROM bench.medians AS m
WHERE m.what LIKE '%nothing rolled up' OR m.what LIKE 'percentiles %' ORDER BY m.what;
SELECT m.median AS "events of the hour"
FROM bench.medians AS m WHERE m.what = 'events of the hour';
SELECT split_part(t.what, ', ', 1) AS "view", split_part(t.what, ', ', 2) AS "over",
    round(1e3 * t.median, 2) AS "view, ms", t.runs, round(t.median / o.median, 2) AS "ratio",
    CASE WHEN t.what LIKE '%ten times%' THEN '<= 1.3' END AS goal
FROM bench.medians AS t
JOIN bench.medians AS o ON o.what = split_part(t.what, ', ', 1) || ', alone'
WHERE t.what LIKE '%, alone' OR t.what LIKE '%, ten times as many' OR t.what LIKE '%, short ones'
ORDER BY 2, 1;

\echo 'Writing at once, into event_log and into a bare table; medians'
SELECT w.command, round(l.median, 2) AS "event_log, s", round(b.median, 2) AS "bare, s", l.runs,
    bench.ratio(l.what, b.what) AS ratio, w.goal
FROM (VALUES ('insert', '<= 1.3'), ('copy', NULL)) AS w (command, goal)
JOIN bench.medians AS l ON l.what = w.command || ' log'
JOIN bench.medians AS b ON b.what = w.command || ' bare'
ORDER BY 1 DESC;
WITH written AS (
    SELECT (SELECT count(*) FROM bench.events) / min(m.median) AS per_second
    FROM bench.medians AS m WHERE m.what IN ('insert log', 'copy log')
)
SELECT round(r.median / 1e6, 2) AS "rolling up, million rows/s", r.runs, c.median AS calls,
    round(w.per_second / 1e6, 3) AS "fastest writing, million rows/s",
    round(r.median / w.per_second, 1) AS ratio, '>= 5' AS goal
FROM bench.medians AS r, bench.medians AS c, written AS w
WHERE r.what = 'roll-up' AND c.what = 'roll-up, calls';
SELECT substr(r.what, length('roll-up of ') + 1)::integer AS "events of an hour",
    round(r.median / 1e6, 2) AS "rolling up, million rows/s", c.median AS calls
FROM bench.medians AS r JOIN bench.medians AS c ON c.what = r.what || ', calls'
WHERE r.what LIKE 'roll-up of %'
ORDER BY 1;

\echo 'Writing singly: log_system_event against an INSERT into a bare table; median events a second'
SELECT s[2] AS protocol, s[3] AS synchronous_commit, s[4] AS clients,
    round(f.median) AS log_system_event, round(b.median) AS "INSERT", f.runs,
    bench.ratio(f.what, b.what) AS ratio, '>= 0.8' AS goal
FROM bench.medians AS f
CROSS JOIN LATERAL string_to_array(f.what, ', ') AS s
JOIN bench.medians AS b ON b.what = 'bare' || substr(f.what, length('function') + 1)
WHERE f.what LIKE 'function, %'
ORDER BY 1, 2 DESC, 3;

SELECT m.what AS "size", round(m.median) AS value
FROM bench.medians AS m WHERE m.what LIKE 'bytes of %' OR m.what = 'rollup rows' ORDER BY 1;
