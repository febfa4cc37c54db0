CREATE TABLE bad."No ""index""" (id int, user_id uuid);
CREATE INDEX ON bad."No ""index""" (id, user_id);
ALTER TABLE bad."No ""index""" ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad."No ""index""" USING (user_id = (SELECT auth.uid()));
COMMENT ON TABLE bad."No ""index""" IS 'leak LOW';
CREATE TABLE bad.small (id int, user_id uuid);
ALTER TABLE bad.small ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad.small USING (user_id = (SELECT auth.uid()));
INSERT INTO bad.small SELECT 1;
ANALYZE bad.small;
COMMENT ON TABLE bad.small IS 'leak INFO: small';

CREATE TABLE good.t (id int, user_id uuid, PRIMARY KEY (user_id, id));
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON good.t USING (user_id = (SELECT auth.uid()));
CREATE TABLE good.written (id int, user_id uuid);
ALTER TABLE good.written ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON good.written FOR INSERT WITH CHECK (user_id = (SELECT auth.uid()));
