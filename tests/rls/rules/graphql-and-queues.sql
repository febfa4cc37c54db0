CREATE SCHEMA pgmq;
GRANT USAGE ON SCHEMA pgmq TO authenticated;
CREATE TABLE pgmq."q_mail ""out""" (msg_id bigint);
GRANT SELECT, INSERT ON pgmq."q_mail ""out""" TO authenticated;
COMMENT ON TABLE pgmq."q_mail ""out""" IS 'leak HIGH';
CREATE TABLE pgmq.q_closed (msg_id bigint);
CREATE TABLE pgmq.q_protected (msg_id bigint);
ALTER TABLE pgmq.q_protected ENABLE ROW LEVEL SECURITY;
GRANT INSERT ON pgmq.q_protected TO authenticated;
CREATE TABLE pgmq.meta (queue_name text);
GRANT INSERT ON pgmq.meta TO authenticated;

-- pg_graphql is inserted into the catalog: the tests do not install it.
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (990001, 'pg_graphql', 10, 'public'::regnamespace, false, '1');
CREATE TABLE bad.shown (id int);
ALTER TABLE bad.shown ENABLE ROW LEVEL SECURITY;
GRANT SELECT (id) ON bad.shown TO anon;
COMMENT ON TABLE bad.shown IS 'leak INFO';
CREATE VIEW bad."Shown ""too""" AS SELECT 1 AS one;
GRANT SELECT ON bad."Shown ""too""" TO authenticated;
COMMENT ON VIEW bad."Shown ""too""" IS 'leak INFO';
CREATE TABLE good.hidden (id int);
GRANT INSERT ON good.hidden TO anon;
