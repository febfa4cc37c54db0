CREATE TABLE bad.profiles (id uuid PRIMARY KEY REFERENCES auth.users, email text, nick text,
    "Odd ""handle""" text CONSTRAINT "Odd ""key""" UNIQUE, colour text UNIQUE);
CREATE UNIQUE INDEX by_email ON bad.profiles (lower(email));
ALTER TABLE bad.profiles ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON bad.profiles TO authenticated;
CREATE POLICY own ON bad.profiles USING (id = auth.uid());
COMMENT ON INDEX bad.by_email IS 'leak MEDIUM: reveals addresses';
COMMENT ON INDEX bad."Odd ""key""" IS 'leak MEDIUM';
COMMENT ON INDEX bad.profiles_colour_key IS 'leak INFO: the name suggests no guessable value';
CREATE TABLE bad.phones (phone text PRIMARY KEY);
ALTER TABLE bad.phones ENABLE ROW LEVEL SECURITY;
CREATE TABLE bad.calls (id int, phone text CONSTRAINT calls_phone REFERENCES bad.phones);
GRANT INSERT ON bad.calls TO anon;
COMMENT ON CONSTRAINT calls_phone ON bad.calls IS 'leak MEDIUM: reveals phone numbers';

CREATE TABLE good.profiles (id uuid PRIMARY KEY, user_id uuid REFERENCES auth.users,
    email text UNIQUE, slug text, token uuid UNIQUE, UNIQUE (user_id, slug));
ALTER TABLE good.profiles ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT (id, user_id, slug, token) ON good.profiles TO authenticated;
CREATE POLICY own ON good.profiles FOR ALL USING (user_id = auth.uid());
CREATE TABLE good.photos (id int, profile_id uuid REFERENCES good.profiles);
GRANT INSERT ON good.photos TO authenticated;
CREATE TABLE good.closed (email text UNIQUE);
ALTER TABLE good.closed ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.closed TO authenticated;
-- Every client role that writes reads all rows, so the error tells nothing.
CREATE TABLE good.handles (id uuid PRIMARY KEY REFERENCES auth.users, username text UNIQUE);
ALTER TABLE good.handles ENABLE ROW LEVEL SECURITY;
GRANT ALL ON good.handles TO anon, authenticated;
CREATE POLICY seen ON good.handles FOR SELECT USING (true);
CREATE POLICY own ON good.handles FOR INSERT WITH CHECK (id = auth.uid());

-- Here anon writes, but only signed-in users read.
CREATE TABLE bad.handles (id uuid PRIMARY KEY REFERENCES auth.users,
    username text CONSTRAINT handles_username UNIQUE);
ALTER TABLE bad.handles ENABLE ROW LEVEL SECURITY;
GRANT ALL ON bad.handles TO anon, authenticated;
CREATE POLICY seen ON bad.handles FOR SELECT TO authenticated USING (true);
CREATE POLICY own ON bad.handles FOR INSERT WITH CHECK (id = auth.uid());
COMMENT ON INDEX bad.handles_username IS 'leak MEDIUM: anon reads no row';
