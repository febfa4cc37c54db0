-- The database of pg_cron's jobs, NULL if pg_cron is not preloaded, and whether it is this one.
-- A setting of a library that is not loaded is not in pg_settings.
SELECT s.setting, EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron')
FROM (VALUES ('cron.database_name')) AS n (name)
LEFT JOIN pg_settings AS s ON s.name = n.name
