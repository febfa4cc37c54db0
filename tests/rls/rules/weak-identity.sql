CREATE TABLE bad.t (id int, email text, owner name);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY "by ""address""" ON bad.t FOR SELECT USING (email = auth.email());
COMMENT ON POLICY "by ""address""" ON bad.t IS 'leak MEDIUM';
CREATE POLICY by_claim ON bad.t FOR UPDATE USING (email = (auth.jwt() ->> 'email'));
COMMENT ON POLICY by_claim ON bad.t IS 'leak MEDIUM';
CREATE POLICY by_domain ON bad.t FOR DELETE USING ((auth.jwt() ->> 'email') LIKE '%@example.com');
COMMENT ON POLICY by_domain ON bad.t IS 'leak MEDIUM: by a pattern';
CREATE POLICY by_session ON bad.t FOR INSERT WITH CHECK (owner = current_user);
COMMENT ON POLICY by_session ON bad.t IS 'leak MEDIUM';
CREATE POLICY by_name ON bad.t FOR SELECT
    USING (auth.uid() = '00000000-0000-0000-0000-000000000001');
COMMENT ON POLICY by_name ON bad.t IS 'leak LOW';

CREATE TABLE good.t (id int, user_id uuid, email text);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON good.t USING (user_id = (SELECT auth.uid()));
CREATE POLICY by_column ON good.t USING (email LIKE '%@example.com' AND user_id = auth.uid());
CREATE POLICY verified ON good.t USING ((auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');
CREATE POLICY service ON good.t TO service_role USING (email = auth.email());
