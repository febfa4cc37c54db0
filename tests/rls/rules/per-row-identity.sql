CREATE TABLE bad.t (id int, a uuid, b uuid, team_id int);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY "each ""row""" ON bad.t FOR SELECT USING (a = auth.uid());
COMMENT ON POLICY "each ""row""" ON bad.t IS 'leak LOW';
CREATE POLICY half ON bad.t FOR UPDATE USING (a = (SELECT auth.uid()) OR b = auth.uid())
    WITH CHECK (a = (SELECT auth.uid()));
COMMENT ON POLICY half ON bad.t IS 'leak LOW: one of two';

CREATE TABLE good.t (id int, a uuid, b uuid);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY wrapped ON good.t USING (a = (SELECT auth.uid()));
CREATE POLICY claim ON good.t USING ((SELECT auth.jwt() ->> 'sub') = b::text);
CREATE TABLE good.off (a uuid);
CREATE POLICY not_looked_at ON good.off USING (a = auth.uid());
