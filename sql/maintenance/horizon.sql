-- The oldest holder of the xmin horizon of this database's tables: VACUUM cannot remove rows that
-- died after it began. held_since is NULL where the server does not record it.
WITH
@horizon_holders@
SELECT h.kind || ' ' || h.name AS holder, h.cure, h.next_command, h.held_since, h.age
FROM holders AS h
WHERE NOT h.only_catalogs AND coalesce(h.database = current_database(), true)
ORDER BY h.age DESC, h.held_since
LIMIT 1
