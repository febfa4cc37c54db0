CREATE TABLE good.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE);
CREATE TABLE bad.t (
    a uuid CONSTRAINT "No ""action""" REFERENCES auth.users,
    b uuid CONSTRAINT orphaned REFERENCES good.profiles ON DELETE SET NULL
);
COMMENT ON CONSTRAINT "No ""action""" ON bad.t IS 'leak INFO';
COMMENT ON CONSTRAINT orphaned ON bad.t IS 'leak INFO';

CREATE TABLE good.t (a uuid REFERENCES auth.users ON DELETE CASCADE,
    b uuid REFERENCES good.profiles ON DELETE CASCADE);
CREATE TABLE good.teams (id int PRIMARY KEY, owner uuid REFERENCES auth.users ON DELETE CASCADE);
CREATE TABLE good.docs (team_id int REFERENCES good.teams);
