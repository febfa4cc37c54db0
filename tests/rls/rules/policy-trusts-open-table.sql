-- Client roles may write a table of members without row-level security.
CREATE TABLE bad.members (team_id int, user_id uuid);
GRANT SELECT, INSERT ON bad.members TO authenticated;
CREATE TABLE bad.docs (id int, team_id int);
ALTER TABLE bad.docs ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (team_id), DELETE ON bad.docs TO authenticated;
CREATE POLICY "Members ""read""" ON bad.docs FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM bad.members AS m WHERE m.team_id = docs.team_id
        AND m.user_id = auth.uid()));
COMMENT ON POLICY "Members ""read""" ON bad.docs IS 'leak CRITICAL';
-- A policy admits every row. Clients use it, so that no statement revokes it.
CREATE TABLE bad.teams (team_id int, user_id uuid);
ALTER TABLE bad.teams ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON bad.teams TO authenticated;
CREATE POLICY anybody ON bad.teams FOR ALL TO authenticated USING (true);
-- It restricts no writing.
CREATE POLICY kept ON bad.teams AS RESTRICTIVE FOR DELETE TO authenticated USING (false);
CREATE POLICY by_team ON bad.docs FOR UPDATE TO authenticated
    USING (team_id IN (SELECT t.team_id FROM bad.teams AS t WHERE t.user_id = auth.uid()));
COMMENT ON POLICY by_team ON bad.docs IS 'leak CRITICAL: client roles choose the team';
-- Client roles may write a table that only a function reads.
CREATE TABLE bad.profiles (id uuid PRIMARY KEY, role text, bio text);
GRANT SELECT, UPDATE ON bad.profiles TO authenticated;
CREATE FUNCTION private.is_admin() RETURNS bool LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT EXISTS (SELECT FROM bad.profiles WHERE id = auth.uid() AND role = 'admin')
$$;
CREATE POLICY admins ON bad.docs FOR DELETE TO authenticated USING (private.is_admin());
COMMENT ON POLICY admins ON bad.docs IS 'leak CRITICAL: through a function';
CREATE TABLE bad.plans (user_id uuid, plan text);
GRANT SELECT ON bad.plans TO authenticated;
CREATE POLICY paying ON bad.docs FOR INSERT TO authenticated
    WITH CHECK (EXISTS (SELECT FROM bad.plans AS p WHERE p.user_id = auth.uid()
        AND p.plan = 'pro'));
COMMENT ON POLICY paying ON bad.docs IS 'leak LOW: open for reading only';
-- No client may use the policy.
CREATE TABLE bad.letters (id int, team_id int);
ALTER TABLE bad.letters ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON bad.letters TO authenticated;
CREATE POLICY unused ON bad.letters FOR UPDATE TO authenticated
    USING (team_id IN (SELECT t.team_id FROM bad.teams AS t WHERE t.user_id = auth.uid()));
COMMENT ON POLICY unused ON bad.letters IS 'leak LOW: clients lack the privilege';

CREATE TABLE good.docs (id int, team_id int, match_id uuid);
ALTER TABLE good.docs ENABLE ROW LEVEL SECURITY;
-- Only the server inserts and updates.
CREATE TABLE good.members (team_id int, user_id uuid);
ALTER TABLE good.members ENABLE ROW LEVEL SECURITY;
GRANT SELECT, DELETE ON good.members TO authenticated;
CREATE POLICY own ON good.members FOR ALL TO authenticated USING (user_id = auth.uid());
CREATE POLICY by_member ON good.docs FOR SELECT TO authenticated
    USING (team_id IN (SELECT m.team_id FROM good.members AS m WHERE m.user_id = auth.uid()));
-- Writable, but the policy does not read the writable columns. A unique key may be chosen.
CREATE TABLE good.matches (id uuid PRIMARY KEY, a uuid, b uuid, ended_at timestamptz);
ALTER TABLE good.matches ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT (id, a, b), UPDATE (ended_at) ON good.matches TO authenticated;
CREATE POLICY own ON good.matches FOR INSERT TO authenticated
    WITH CHECK (a = auth.uid() AND b <> a);
CREATE POLICY ending ON good.matches FOR UPDATE TO authenticated USING (auth.uid() IN (a, b));
CREATE POLICY by_match ON good.docs FOR SELECT TO authenticated
    USING (match_id IN (SELECT m.id FROM good.matches AS m WHERE auth.uid() IN (m.a, m.b)));
-- Conditions of any kind are tried by the audit itself.
CREATE TABLE good.joined (team_id int, user_id uuid);
ALTER TABLE good.joined ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON good.joined TO authenticated;
CREATE POLICY own ON good.joined FOR ALL TO authenticated USING (user_id = auth.uid());
CREATE POLICY by_joined ON good.docs FOR INSERT TO authenticated
    WITH CHECK (team_id IN (SELECT j.team_id FROM good.joined AS j WHERE j.user_id = auth.uid()));
-- A restrictive policy limits the column.
CREATE TABLE good.teams (team_id int, user_id uuid);
ALTER TABLE good.teams ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON good.teams TO authenticated;
CREATE POLICY own ON good.teams FOR ALL TO authenticated USING (true);
CREATE POLICY no_choice ON good.teams AS RESTRICTIVE FOR INSERT TO authenticated
    WITH CHECK (team_id = 1);
CREATE POLICY by_team ON good.docs FOR UPDATE TO authenticated
    USING (team_id IN (SELECT t.team_id FROM good.teams AS t WHERE t.user_id = auth.uid()));
-- A view has no row-level security of its own.
CREATE VIEW good.team_view WITH (security_invoker = true) AS SELECT * FROM good.teams;
GRANT SELECT, INSERT ON good.team_view TO authenticated;
CREATE POLICY by_view ON good.docs FOR DELETE TO authenticated
    USING (team_id IN (SELECT t.team_id FROM good.team_view AS t));
