CREATE VIEW bad.members AS SELECT id, email FROM auth.users;
GRANT SELECT ON bad.members TO authenticated;
COMMENT ON VIEW bad.members IS 'leak CRITICAL';
CREATE VIEW private.accounts AS SELECT * FROM auth.users;
CREATE VIEW bad."Members ""2""" AS SELECT a.email FROM private.accounts AS a;
GRANT SELECT (email) ON bad."Members ""2""" TO PUBLIC;
COMMENT ON VIEW bad."Members ""2""" IS 'leak CRITICAL: through a chain';
CREATE MATERIALIZED VIEW bad.addresses AS SELECT email FROM auth.users
    WHERE id = auth.uid() OR true;
GRANT SELECT ON bad.addresses TO anon;
COMMENT ON MATERIALIZED VIEW bad.addresses
    IS 'leak CRITICAL: its condition was evaluated at the refresh';
CREATE VIEW bad.ids AS SELECT id FROM auth.users;
GRANT SELECT ON bad.ids TO anon;
COMMENT ON VIEW bad.ids IS 'leak MEDIUM: only which accounts exist';
CREATE VIEW bad.me AS SELECT * FROM auth.users WHERE id = (SELECT auth.uid());
GRANT SELECT ON bad.me TO authenticated;
COMMENT ON VIEW bad.me IS 'leak LOW: checks the identity';

CREATE VIEW good.invoker WITH (security_invoker = on) AS SELECT * FROM auth.users;
GRANT SELECT ON good.invoker TO authenticated;
CREATE VIEW good.ungranted AS SELECT * FROM auth.users;
CREATE TABLE good.users (id uuid, email text);
CREATE VIEW good.other_users AS SELECT * FROM good.users;
GRANT SELECT ON good.other_users TO authenticated;
-- Callers get 42501: BYPASSRLS is no privilege on the table.
CREATE ROLE mirror NOLOGIN BYPASSRLS;
GRANT USAGE ON SCHEMA auth, bad TO mirror;
CREATE VIEW good.no_grant AS SELECT id, email FROM auth.users;
ALTER VIEW good.no_grant OWNER TO mirror;
GRANT SELECT ON good.no_grant TO authenticated;
