CREATE TABLE bad.members (team_id int, user_id uuid, PRIMARY KEY (team_id, user_id));
CREATE TABLE bad.docs (id int, team_id int);
ALTER TABLE bad.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY "my ""team""" ON bad.docs FOR SELECT
    USING (team_id = (SELECT m.team_id FROM bad.members AS m WHERE m.user_id = auth.uid()));
COMMENT ON POLICY "my ""team""" ON bad.docs IS 'leak MEDIUM: an error with two teams';
CREATE POLICY any_team ON bad.docs FOR DELETE
    USING (team_id = (SELECT m.team_id FROM bad.members AS m WHERE m.user_id = auth.uid() LIMIT 1));
COMMENT ON POLICY any_team ON bad.docs IS 'leak MEDIUM: an arbitrary team';

CREATE TABLE good.profiles (id uuid PRIMARY KEY, team_id int);
CREATE TABLE good.docs (id int, team_id int, user_id uuid);
ALTER TABLE good.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_team ON good.docs
    USING (team_id = (SELECT p.team_id FROM good.profiles AS p WHERE p.id = (SELECT auth.uid())));
CREATE POLICY teams ON good.docs
    USING (team_id IN (SELECT m.team_id FROM bad.members AS m WHERE m.user_id = auth.uid()));
CREATE POLICY newest ON good.docs
    USING (team_id = (SELECT max(m.team_id) FROM bad.members AS m WHERE m.user_id = auth.uid()));
CREATE POLICY own ON good.docs USING (user_id = (SELECT auth.uid()));
