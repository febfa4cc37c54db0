-- The functions that used to be called at this time and are not called now, as text.
SELECT f.function_name || ': ' || f.status
FROM crewsnow_ops.silent_functions AS f
WHERE f.status LIKE 'ALERT%'
ORDER BY f.silent_minutes DESC, f.function_name
