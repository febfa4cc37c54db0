-- Who may do what, as data: each topic's file adds its rows next to its CREATE statements, and grant_access reads them.
CREATE TABLE crewsnow_ops.access_privileges (
    level text NOT NULL CHECK (level OPERATOR(pg_catalog.=) ANY (ARRAY['reader', 'writer', 'operator', 'admin'])),
    privileges text NOT NULL,
    object_type text NOT NULL CHECK (object_type OPERATOR(pg_catalog.=) ANY (ARRAY['SCHEMA', 'TABLE', 'FUNCTION'])),
    object_name text NOT NULL,
    PRIMARY KEY (level, object_type, object_name)
);
COMMENT ON TABLE crewsnow_ops.access_privileges IS 'What crewsnow_ops.grant_access grants: each level has its own rows and those of the levels that it includes.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.level IS 'reader, writer, operator or admin.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.privileges IS 'The privileges, as GRANT takes them.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.object_type IS 'SCHEMA, TABLE or FUNCTION.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.object_name IS 'The object, quoted and qualified as GRANT takes it.';
COMMENT ON CONSTRAINT access_privileges_pkey ON crewsnow_ops.access_privileges IS 'An object has one row a level.';
COMMENT ON CONSTRAINT access_privileges_level_check ON crewsnow_ops.access_privileges IS 'The four levels.';
COMMENT ON CONSTRAINT access_privileges_object_type_check ON crewsnow_ops.access_privileges IS 'The kinds of object that grants are for.';

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'USAGE', 'SCHEMA', 'crewsnow_ops');
