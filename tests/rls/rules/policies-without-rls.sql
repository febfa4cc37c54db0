CREATE TABLE bad.notes (id int, user_id uuid);
CREATE POLICY own ON bad.notes USING (user_id = auth.uid());
GRANT SELECT ON bad.notes TO authenticated;
COMMENT ON TABLE bad.notes IS 'leak CRITICAL';
CREATE TABLE bad."Quoted ""one""" (id int);
CREATE POLICY "Nobody, ""really""" ON bad."Quoted ""one""" USING (false);
GRANT UPDATE (id) ON bad."Quoted ""one""" TO PUBLIC;
COMMENT ON TABLE bad."Quoted ""one""" IS 'leak CRITICAL';
CREATE TABLE bad.ungranted (id int);
CREATE POLICY p ON bad.ungranted USING (false);
COMMENT ON TABLE bad.ungranted IS 'leak LOW: no client role has a privilege yet';

CREATE TABLE good.notes (id int, user_id uuid);
CREATE POLICY own ON good.notes USING (user_id = auth.uid());
ALTER TABLE good.notes ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.notes TO authenticated;
CREATE TABLE good.no_policy (id int);
GRANT ALL ON good.no_policy TO authenticated;
