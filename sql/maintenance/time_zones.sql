-- The names of all zones. The server reads a file for each.
SELECT n.name FROM pg_timezone_names AS n
