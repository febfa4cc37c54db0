-- Grants on the table, on a column and to PUBLIC, for reading and writing, on ordinary and
-- partitioned tables.
CREATE TABLE bad.notes (id int PRIMARY KEY, user_id uuid REFERENCES auth.users, body text);
GRANT SELECT ON bad.notes TO anon;
COMMENT ON TABLE bad.notes IS 'leak CRITICAL';
CREATE TABLE bad."Ev""il ""quotes""" (id int, "Secret" text);
GRANT SELECT ("Secret") ON bad."Ev""il ""quotes""" TO authenticated;
COMMENT ON TABLE bad."Ev""il ""quotes""" IS 'leak CRITICAL: by a column grant';
CREATE TABLE bad.inbox (id int, body text);
GRANT INSERT ON bad.inbox TO PUBLIC;
COMMENT ON TABLE bad.inbox IS 'leak CRITICAL: write only';
CREATE TABLE bad.measurements (at date) PARTITION BY RANGE (at);
GRANT DELETE ON bad.measurements TO authenticated;
COMMENT ON TABLE bad.measurements IS 'leak CRITICAL: partitioned';
CREATE UNLOGGED TABLE bad.scratch (id int);
GRANT ALL ON bad.scratch TO anon, authenticated;
COMMENT ON TABLE bad.scratch IS 'leak CRITICAL';
CREATE ROLE supabase_storage_admin;
CREATE TABLE bad.restored (id int);
GRANT SELECT ON bad.restored TO anon;
ALTER TABLE bad.restored OWNER TO supabase_storage_admin;
COMMENT ON TABLE bad.restored IS 'leak CRITICAL: restored as a role of the platform';

-- Row-level security is on. No grant to client roles. No USAGE on the schema. No privilege but
-- TRUNCATE, REFERENCES and TRIGGER. Policies (see policies-without-rls).
CREATE TABLE good.notes (id int);
ALTER TABLE good.notes ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.notes TO anon;
CREATE TABLE good.ledger (id int);
GRANT ALL ON good.ledger TO service_role;
CREATE TABLE good.emptied (id int);
GRANT TRUNCATE, REFERENCES, TRIGGER ON good.emptied TO anon;
CREATE TABLE private.keys (id int);
GRANT ALL ON private.keys TO anon, PUBLIC;
CREATE TABLE good."Looks protected" (id int);
CREATE POLICY p ON good."Looks protected" USING (false);
GRANT SELECT ON good."Looks protected" TO anon;
-- A table of an extension, such as spatial_ref_sys of PostGIS, must not be altered.
CREATE TABLE good.spatial_ref_sys (id int);
GRANT SELECT ON good.spatial_ref_sys TO PUBLIC;
ALTER EXTENSION plpgsql ADD TABLE good.spatial_ref_sys;
-- A table of a Supabase service, in a schema of that service.
CREATE TABLE auth.flow_state (id int);
GRANT SELECT ON auth.flow_state TO PUBLIC;
ALTER TABLE auth.flow_state OWNER TO supabase_storage_admin;
