-- The end of a WHERE clause in a command over many sessions. The refusal of one superuser's session
-- would undo the whole command, so a caller without that attribute leaves those out.
CASE WHEN (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN ''
    ELSE ' AND usesysid IN (SELECT oid FROM pg_catalog.pg_roles WHERE NOT rolsuper)' END
