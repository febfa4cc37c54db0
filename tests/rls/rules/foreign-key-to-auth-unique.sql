CREATE TABLE bad.t (email text CONSTRAINT "By ""address""" REFERENCES auth.users (email));
COMMENT ON CONSTRAINT "By ""address""" ON bad.t IS 'leak LOW';

CREATE TABLE good.t (id uuid PRIMARY KEY REFERENCES auth.users, email text UNIQUE);
CREATE TABLE good.u (email text REFERENCES good.t (email));
