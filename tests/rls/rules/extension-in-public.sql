-- expect: INFO extension "Tool ""box"""
-- Inserted into the catalog: some servers under test have no extension to install.
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (990001, 'Tool "box"', 10, 'public'::regnamespace, false, '1'),
    (990002, 'elsewhere', 10, 'good'::regnamespace, false, '1');
