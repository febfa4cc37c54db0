-- $1 levels
SELECT p.privileges, p.object_type, p.object_name
FROM crewsnow_ops.access_privileges AS p
WHERE p.level = ANY ($1)
ORDER BY p.object_type, p.object_name, p.level
