-- The search_path with which the session began
SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'search_path'
