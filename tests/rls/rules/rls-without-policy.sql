CREATE TABLE bad."No ""policy""" (id int);
ALTER TABLE bad."No ""policy""" ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON bad."No ""policy""" TO anon;
COMMENT ON TABLE bad."No ""policy""" IS 'leak INFO';
CREATE TABLE bad.restricted (id int);
ALTER TABLE bad.restricted ENABLE ROW LEVEL SECURITY;
CREATE POLICY "only" ON bad.restricted AS RESTRICTIVE USING (true);
COMMENT ON TABLE bad.restricted IS 'leak INFO: restrictive only';
-- From base.sql.
COMMENT ON TABLE auth.users IS 'leak INFO';

CREATE TABLE good.t (id int);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.t USING (true);
CREATE TABLE good.off (id int);
CREATE TABLE good.parted (id int) PARTITION BY RANGE (id);
ALTER TABLE good.parted ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.parted USING (true);
CREATE TABLE good.part PARTITION OF good.parted FOR VALUES FROM (0) TO (1);
ALTER TABLE good.part ENABLE ROW LEVEL SECURITY;
