CREATE TABLE bad.open (id int, password_hash text);
GRANT SELECT ON bad.open TO anon;
COMMENT ON TABLE bad.open IS 'leak HIGH';
CREATE TABLE bad."Public ""profiles""" (id int, "API-Key" text, name text);
ALTER TABLE bad."Public ""profiles""" ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON bad."Public ""profiles""" FOR SELECT USING (true);
GRANT SELECT ON bad."Public ""profiles""" TO PUBLIC;
COMMENT ON TABLE bad."Public ""profiles""" IS 'leak HIGH: a policy admits every row';
CREATE TABLE bad.own (id int, user_id uuid, totp_secret text);
ALTER TABLE bad.own ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad.own USING (user_id = auth.uid());
GRANT SELECT ON bad.own TO authenticated;
COMMENT ON TABLE bad.own IS 'leak LOW: of own rows';
CREATE TABLE bad.idle (id int, salary int);
ALTER TABLE bad.idle ENABLE ROW LEVEL SECURITY;
GRANT SELECT, SELECT (id) ON bad.idle TO authenticated;
COMMENT ON TABLE bad.idle IS 'leak LOW: the grant on the column has no effect';

CREATE TABLE good.t (id int, secretary text, password_changed_at timestamptz, token_count int,
    secret text);
GRANT SELECT (id, secretary, password_changed_at, token_count) ON good.t TO anon;
CREATE TABLE good.for_service (password text);
GRANT SELECT ON good.for_service TO service_role;
