CREATE TABLE bad.members (team_id int, user_id uuid);
CREATE TABLE bad.docs (id int, team_id int);
ALTER TABLE bad.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY "of ""the"" team" ON bad.docs
    USING (EXISTS (SELECT FROM bad.members AS m WHERE m.team_id = team_id
        AND m.user_id = auth.uid()));
COMMENT ON POLICY "of ""the"" team" ON bad.docs IS 'leak HIGH';

CREATE TABLE good.docs (id int, team_id int, team_id2 int, user_id uuid);
ALTER TABLE good.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_team ON good.docs
    USING (EXISTS (SELECT FROM bad.members AS m WHERE m.team_id = docs.team_id
        AND m.user_id = auth.uid()));
CREATE POLICY other ON good.docs USING (team_id = team_id2 AND user_id = auth.uid());
CREATE POLICY always ON good.docs FOR SELECT USING (1 = 1);
