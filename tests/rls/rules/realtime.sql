CREATE TABLE bad.open (id int PRIMARY KEY, body text);
GRANT SELECT ON bad.open TO anon;
COMMENT ON TABLE bad.open IS 'leak HIGH';
CREATE TABLE bad."Full ""row""" (id int PRIMARY KEY, body text);
ALTER TABLE bad."Full ""row""" ENABLE ROW LEVEL SECURITY, REPLICA IDENTITY FULL;
GRANT SELECT ON bad."Full ""row""" TO authenticated;
COMMENT ON TABLE bad."Full ""row""" IS 'leak MEDIUM';
CREATE TABLE good.usual (id int PRIMARY KEY, body text);
ALTER TABLE good.usual ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON good.usual TO authenticated;
CREATE TABLE good.ungranted (id int PRIMARY KEY);
CREATE PUBLICATION supabase_realtime FOR TABLE bad.open, bad."Full ""row""", good.usual,
    good.ungranted;
CREATE TABLE good.elsewhere (id int PRIMARY KEY);
GRANT SELECT ON good.elsewhere TO anon;
CREATE PUBLICATION warehouse FOR TABLE good.elsewhere;
CREATE TABLE good.unpublished (id int);
GRANT SELECT ON good.unpublished TO anon;
