CREATE TABLE good.teams (id int PRIMARY KEY);
CREATE TABLE bad."Team ""members""" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id int NOT NULL REFERENCES good.teams,
    user_id uuid NOT NULL REFERENCES auth.users,
    role text NOT NULL DEFAULT 'member',
    joined_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE bad."Team ""members""" IS 'leak LOW';

CREATE TABLE good.members (team_id int REFERENCES good.teams, user_id uuid REFERENCES auth.users,
    PRIMARY KEY (team_id, user_id));
CREATE TABLE good.stays (team_id int NOT NULL REFERENCES good.teams,
    user_id uuid NOT NULL REFERENCES auth.users, since date NOT NULL DEFAULT now(),
    UNIQUE (user_id, team_id, since));
CREATE TABLE good.messages (team_id int NOT NULL REFERENCES good.teams,
    user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL);
CREATE TABLE good.files (team_id int REFERENCES good.teams, user_id uuid REFERENCES auth.users);
