CREATE TABLE bad.t (id int, user_id uuid);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON bad.t TO authenticated;
CREATE POLICY "insert ""what""" ON bad.t FOR INSERT;
COMMENT ON POLICY "insert ""what""" ON bad.t IS 'leak INFO';
CREATE POLICY change ON bad.t FOR UPDATE WITH CHECK (true);
COMMENT ON POLICY change ON bad.t IS 'leak INFO';
CREATE POLICY anything ON bad.t WITH CHECK (true);
COMMENT ON POLICY anything ON bad.t IS 'leak INFO';
CREATE POLICY never ON bad.t FOR SELECT USING (false);
COMMENT ON POLICY never ON bad.t IS 'leak INFO';
CREATE POLICY above ON bad.t TO service_role USING (true);
COMMENT ON POLICY above ON bad.t IS 'leak INFO: service_role needs no policy';
CREATE POLICY remove ON bad.t FOR DELETE TO authenticated USING (user_id = auth.uid());
COMMENT ON POLICY remove ON bad.t IS 'leak INFO: no grant';

CREATE TABLE good.t (id int, user_id uuid);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.t TO authenticated;
-- Without WITH CHECK, USING takes its place.
CREATE POLICY change ON good.t FOR UPDATE USING (user_id = auth.uid());
CREATE POLICY everything ON good.t USING (user_id = auth.uid());
CREATE POLICY floor ON good.t AS RESTRICTIVE USING (false);
CREATE POLICY add ON good.t FOR INSERT WITH CHECK (true);
