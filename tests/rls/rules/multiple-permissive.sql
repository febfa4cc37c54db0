-- expect: INFO table bad.t for SELECT by authenticated
-- expect: INFO table bad.t for UPDATE by authenticated
CREATE TABLE bad.t (id int, user_id uuid);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON bad.t TO authenticated;
CREATE POLICY own ON bad.t TO authenticated USING (user_id = auth.uid());
CREATE POLICY "read ""all""" ON bad.t FOR SELECT USING (true);
CREATE POLICY change ON bad.t FOR UPDATE TO authenticated USING (id > 0);
CREATE POLICY remove ON bad.t FOR DELETE TO authenticated USING (id > 0);

CREATE TABLE good.t (id int);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.t TO authenticated;
CREATE POLICY read ON good.t FOR SELECT USING (true);
CREATE POLICY floor ON good.t AS RESTRICTIVE FOR SELECT USING (true);
CREATE POLICY service ON good.t TO service_role USING (true);
CREATE POLICY change ON good.t FOR UPDATE USING (true);
