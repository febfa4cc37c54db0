-- Found by a grant on the table, on a column, or to PUBLIC, reading or writing; ordinary and partitioned tables.
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

-- Protected; granted to nobody that clients run as; not reachable for want of USAGE; nothing but TRUNCATE; policies (another rule).
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
-- A table of an extension, as PostGIS' spatial_ref_sys: nobody may alter it.
CREATE TABLE good.spatial_ref_sys (id int);
GRANT SELECT ON good.spatial_ref_sys TO PUBLIC;
ALTER EXTENSION plpgsql ADD TABLE good.spatial_ref_sys;
-- A table of the service's own.
CREATE ROLE supabase_storage_admin;
CREATE TABLE good.of_the_service (id int);
GRANT SELECT ON good.of_the_service TO PUBLIC;
ALTER TABLE good.of_the_service OWNER TO supabase_storage_admin;
