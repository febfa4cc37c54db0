-- Privileges as data: each file adds rows next to its CREATE statements; grant_access reads them.
CREATE TABLE crewsnow_ops.access_privileges (
    level text NOT NULL CHECK (level OPERATOR(pg_catalog.=) ANY (ARRAY['reader', 'writer',
        'operator', 'admin'])),
    privileges text NOT NULL,
    object_type text NOT NULL CHECK (object_type OPERATOR(pg_catalog.=) ANY (ARRAY['SCHEMA',
        'TABLE', 'FUNCTION'])),
    object_name text NOT NULL,
    PRIMARY KEY (level, object_type, object_name)
);
COMMENT ON TABLE crewsnow_ops.access_privileges IS
    'Privileges that crewsnow_ops.grant_access grants. A level has its own rows and those of the '
    'levels that it includes.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.level IS 'reader, writer, operator or admin.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.privileges IS
    'Privileges in the syntax of GRANT, separated by commas.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.object_type IS 'SCHEMA, TABLE or FUNCTION.';
COMMENT ON COLUMN crewsnow_ops.access_privileges.object_name IS
    'Object in the syntax of GRANT, quoted and schema-qualified.';
COMMENT ON CONSTRAINT access_privileges_pkey ON crewsnow_ops.access_privileges IS
    'One row per level and object.';
COMMENT ON CONSTRAINT access_privileges_level_check ON crewsnow_ops.access_privileges IS
    'level is reader, writer, operator or admin.';
COMMENT ON CONSTRAINT access_privileges_object_type_check ON crewsnow_ops.access_privileges IS
    'object_type is SCHEMA, TABLE or FUNCTION.';

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'USAGE', 'SCHEMA', 'crewsnow_ops');
