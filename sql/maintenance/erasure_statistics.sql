-- $1 pattern of a person. Tables whose planner statistics hold one of its identifiers.
SELECT DISTINCT format('%I.%I', s.schemaname, s.tablename)
FROM pg_stats AS s
WHERE concat(s.most_common_vals, ' ', s.histogram_bounds, ' ', s.most_common_elems) ~* $1
ORDER BY 1
