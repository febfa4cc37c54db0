-- The statement that stores a window with a zone that is accepted.
SELECT CASE WHEN $1 THEN
    format('UPDATE crewsnow_ops.maintenance_windows SET time_zone = %L WHERE name = %L;', $2, $3)
ELSE
    format('INSERT INTO crewsnow_ops.maintenance_windows '
            '(name, %s, local_start, duration, time_zone) VALUES (%L, %L, %L, %L, %L);',
        CASE WHEN $5 IS NULL THEN 'weekday' ELSE 'on_date' END,
        $3, coalesce($5::text, $4), $6, $7, $2)
END
