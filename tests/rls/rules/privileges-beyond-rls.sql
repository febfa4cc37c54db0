CREATE TABLE bad.all_privileges (id int);
ALTER TABLE bad.all_privileges ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT ALL ON bad.all_privileges TO anon, authenticated;
COMMENT ON TABLE bad.all_privileges IS 'leak MEDIUM';
CREATE TABLE bad."For ""all""" (id int);
ALTER TABLE bad."For ""all""" ENABLE ROW LEVEL SECURITY;
GRANT TRUNCATE ON bad."For ""all""" TO PUBLIC;
COMMENT ON TABLE bad."For ""all""" IS 'leak MEDIUM';
CREATE TABLE bad.referenced (id int PRIMARY KEY);
ALTER TABLE bad.referenced ENABLE ROW LEVEL SECURITY;
GRANT REFERENCES (id), TRIGGER ON bad.referenced TO authenticated;
COMMENT ON TABLE bad.referenced IS 'leak LOW';

CREATE TABLE good.usual (id int);
ALTER TABLE good.usual ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON good.usual TO anon, authenticated;
GRANT ALL ON good.usual TO service_role;
CREATE TABLE good.no_rls (id int);
GRANT ALL ON good.no_rls TO anon;
