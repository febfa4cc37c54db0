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

-- Grants of a stock Supabase: by default privileges, or the same on every table of the schema.
CREATE SCHEMA stock;
CREATE SCHEMA "All tables";
GRANT USAGE ON SCHEMA stock, "All tables" TO anon, authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA stock GRANT ALL ON TABLES TO anon, authenticated;
CREATE TABLE stock.notes (id int);
ALTER TABLE stock.notes ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE stock.notes IS 'leak LOW';
CREATE TABLE "All tables".a (id int);
CREATE TABLE "All tables".b (id int);
ALTER TABLE "All tables".a ENABLE ROW LEVEL SECURITY;
ALTER TABLE "All tables".b ENABLE ROW LEVEL SECURITY;
GRANT ALL ON ALL TABLES IN SCHEMA "All tables" TO anon, authenticated, service_role;
COMMENT ON TABLE "All tables".a IS 'leak LOW';
COMMENT ON TABLE "All tables".b IS 'leak LOW';

CREATE TABLE good.usual (id int);
ALTER TABLE good.usual ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON good.usual TO anon, authenticated;
GRANT ALL ON good.usual TO service_role;
CREATE TABLE good.no_rls (id int);
GRANT ALL ON good.no_rls TO anon;
