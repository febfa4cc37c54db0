CREATE ROLE app_owner NOLOGIN;
CREATE TABLE bad.accounts (id int, user_id uuid);
ALTER TABLE bad.accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad.accounts USING (user_id = (SELECT auth.uid()));
GRANT SELECT ON bad.accounts TO authenticated;

CREATE VIEW bad.directory AS SELECT * FROM bad.accounts;
GRANT SELECT ON bad.directory TO authenticated;
COMMENT ON VIEW bad.directory IS 'leak CRITICAL';
CREATE VIEW bad."Dir ""2""" WITH (security_invoker = off) AS SELECT id FROM bad.accounts;
GRANT SELECT (id) ON bad."Dir ""2""" TO PUBLIC;
COMMENT ON VIEW bad."Dir ""2""" IS 'leak CRITICAL: by a column grant';
-- An invoker view over a definer view in a schema that client roles cannot use.
CREATE VIEW private.inner_view AS SELECT * FROM bad.accounts;
GRANT SELECT ON private.inner_view TO authenticated;
CREATE VIEW bad.outer_view WITH (security_invoker = true) AS SELECT * FROM private.inner_view;
GRANT SELECT ON bad.outer_view TO authenticated;
COMMENT ON VIEW bad.outer_view IS 'leak CRITICAL: through a chain';
-- A materialised view inside: its condition was evaluated at the last refresh.
CREATE MATERIALIZED VIEW private.copy AS SELECT * FROM bad.accounts
    WHERE user_id = auth.uid() OR user_id IS NULL;
CREATE VIEW bad.of_copy AS SELECT * FROM private.copy;
GRANT SELECT ON bad.of_copy TO authenticated;
COMMENT ON VIEW bad.of_copy IS 'leak CRITICAL: through a copy';
-- An identity function in the column list hides no row.
CREATE VIEW bad.polite AS SELECT *, auth.uid() AS me FROM bad.accounts;
GRANT SELECT ON bad.polite TO authenticated;
COMMENT ON VIEW bad.polite IS 'leak CRITICAL';
CREATE VIEW bad.write_only AS SELECT * FROM bad.accounts;
GRANT UPDATE ON bad.write_only TO authenticated;
COMMENT ON VIEW bad.write_only IS 'leak CRITICAL: writing';
-- The view has its own condition on the identity.
CREATE VIEW bad.mine AS SELECT * FROM bad.accounts WHERE user_id = auth.uid();
GRANT SELECT ON bad.mine TO authenticated;
COMMENT ON VIEW bad.mine IS 'leak LOW: its own condition is the only protection';
CREATE VIEW bad.mine_by_setting AS SELECT * FROM bad.accounts
    WHERE user_id::text = current_setting('request.jwt.claim.sub', true);
GRANT SELECT ON bad.mine_by_setting TO authenticated;
COMMENT ON VIEW bad.mine_by_setting IS 'leak LOW: the same by the setting';
CREATE TABLE private.settings (id int);
CREATE VIEW bad.settings AS SELECT * FROM private.settings;
GRANT SELECT ON bad.settings TO anon;
COMMENT ON VIEW bad.settings IS 'leak LOW: the view is the only protection';
-- Row-level security applies to the owner, but a policy admits it to every row.
CREATE ROLE reports NOLOGIN;
GRANT USAGE ON SCHEMA bad TO reports;
GRANT SELECT ON bad.accounts TO reports;
CREATE POLICY reports ON bad.accounts FOR SELECT TO reports USING (id IS NOT NULL);
CREATE VIEW bad.laundered AS SELECT * FROM bad.accounts;
ALTER VIEW bad.laundered OWNER TO reports;
GRANT SELECT ON bad.laundered TO authenticated;
COMMENT ON VIEW bad.laundered IS 'leak HIGH: a policy admits the owner';
-- A policy for everyone admits some rows. Clients without SELECT on the table see them in the view.
CREATE ROLE press NOLOGIN;
CREATE TABLE private.articles (id int, is_public boolean, body text);
ALTER TABLE private.articles ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON private.articles TO press;
CREATE POLICY published ON private.articles FOR SELECT USING (is_public);
CREATE VIEW bad.articles AS SELECT * FROM private.articles;
ALTER VIEW bad.articles OWNER TO press;
GRANT SELECT ON bad.articles TO anon;
COMMENT ON VIEW bad.articles IS 'leak MEDIUM: the table has no owner column';
CREATE TABLE private.trips (id int, user_id uuid, is_public boolean);
ALTER TABLE private.trips ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON private.trips TO press, authenticated;
CREATE POLICY published ON private.trips FOR SELECT USING (is_public);
CREATE VIEW bad.trips AS SELECT * FROM private.trips;
ALTER VIEW bad.trips OWNER TO press;
GRANT SELECT ON bad.trips TO anon;
COMMENT ON VIEW bad.trips IS 'leak HIGH: anon has no SELECT on a table with an owner';

-- Clients may read the same rows from the table.
CREATE TABLE good.news (id int, is_public boolean);
ALTER TABLE good.news ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON good.news TO press, anon, authenticated;
CREATE POLICY published ON good.news FOR SELECT USING (is_public);
CREATE VIEW good.headlines AS SELECT * FROM good.news;
ALTER VIEW good.headlines OWNER TO press;
GRANT SELECT ON good.headlines TO anon;
-- The policy for everyone checks the identity.
CREATE TABLE private.drafts (id int, user_id uuid);
ALTER TABLE private.drafts ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON private.drafts TO press;
CREATE POLICY own ON private.drafts FOR SELECT USING (user_id = (SELECT auth.uid()));
CREATE VIEW good.own_drafts AS SELECT * FROM private.drafts;
ALTER VIEW good.own_drafts OWNER TO press;
GRANT SELECT ON good.own_drafts TO authenticated;

-- The policy for the owner checks the identity, or the view does.
CREATE ROLE kiosk NOLOGIN;
CREATE TABLE good.bookings (id int, user_id uuid);
ALTER TABLE good.bookings ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON good.bookings TO kiosk;
CREATE POLICY own ON good.bookings FOR SELECT TO kiosk USING (user_id = (SELECT auth.uid()));
CREATE VIEW good.own_bookings AS SELECT * FROM good.bookings;
ALTER VIEW good.own_bookings OWNER TO kiosk;
GRANT SELECT ON good.own_bookings TO authenticated;
CREATE VIEW good.own_accounts AS SELECT * FROM bad.accounts WHERE user_id = auth.uid();
ALTER VIEW good.own_accounts OWNER TO reports;
GRANT SELECT ON good.own_accounts TO authenticated;

-- A restrictive policy checks the identity of every role.
CREATE TABLE good.visits (id int, user_id uuid);
ALTER TABLE good.visits ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON good.visits TO reports;
CREATE POLICY reports ON good.visits FOR SELECT TO reports USING (true);
CREATE POLICY own ON good.visits AS RESTRICTIVE USING (user_id = (SELECT auth.uid()));
CREATE VIEW good.own_visits AS SELECT * FROM good.visits;
ALTER VIEW good.own_visits OWNER TO reports;
GRANT SELECT ON good.own_visits TO authenticated;
-- Callers get 42501: the owner bypasses row-level security, but has no privilege on the table, on a
-- column, on a view inside, or on another table of the view.
CREATE ROLE mirror NOLOGIN BYPASSRLS;
GRANT USAGE ON SCHEMA bad, private TO mirror;
CREATE TABLE private.letters (id int, user_id uuid, body text);
ALTER TABLE private.letters ENABLE ROW LEVEL SECURITY;
CREATE TABLE private.stamps (id int);
ALTER TABLE private.stamps ENABLE ROW LEVEL SECURITY;
CREATE VIEW good.no_grant AS SELECT * FROM private.letters;
CREATE VIEW private.all_letters AS SELECT id FROM private.letters;
CREATE VIEW good.no_grant_inside AS SELECT * FROM private.all_letters;
CREATE VIEW good.invoker_without_grant WITH (security_invoker) AS SELECT * FROM private.all_letters;
GRANT SELECT (id) ON private.stamps TO mirror;
CREATE VIEW good.joined AS SELECT s.id FROM private.stamps AS s JOIN private.letters USING (id);
ALTER VIEW good.no_grant OWNER TO mirror;
ALTER VIEW good.no_grant_inside OWNER TO mirror;
ALTER VIEW good.joined OWNER TO mirror;
GRANT ALL ON good.no_grant, good.no_grant_inside, good.invoker_without_grant, good.joined
    TO authenticated;
CREATE TABLE private.cards (id int, user_id uuid, number text);
ALTER TABLE private.cards ENABLE ROW LEVEL SECURITY;
GRANT SELECT (id, user_id) ON private.cards TO mirror;
CREATE VIEW good.card_numbers AS SELECT id, number FROM private.cards;
CREATE VIEW bad.card_owners AS SELECT id, user_id FROM private.cards;
ALTER VIEW good.card_numbers OWNER TO mirror;
ALTER VIEW bad.card_owners OWNER TO mirror;
GRANT SELECT ON good.card_numbers, bad.card_owners TO anon;
COMMENT ON VIEW bad.card_owners IS 'leak CRITICAL: grants on the columns suffice';
-- The owner of the outer view needs a privilege on the inner view only.
CREATE VIEW private.some_letters AS SELECT id FROM private.letters;
GRANT SELECT ON private.some_letters TO mirror;
CREATE VIEW bad.two_owners AS SELECT * FROM private.some_letters;
ALTER VIEW bad.two_owners OWNER TO mirror;
GRANT SELECT ON bad.two_owners TO anon;
COMMENT ON VIEW bad.two_owners IS 'leak CRITICAL: each view as its owner';

CREATE VIEW good.invoker WITH (security_invoker = 1) AS SELECT * FROM bad.accounts;
CREATE VIEW good.no_table AS SELECT 1 AS one;
CREATE VIEW good.catalog AS SELECT relname FROM pg_catalog.pg_class;
CREATE VIEW good.ungranted AS SELECT * FROM bad.accounts;
GRANT SELECT ON good.invoker, good.no_table, good.catalog TO authenticated;
-- An invoker view is checked as the caller even inside a definer view.
CREATE VIEW good.definer_over_invoker AS SELECT * FROM good.invoker;
GRANT SELECT ON good.definer_over_invoker TO authenticated;
-- Row-level security applies to the owner: it is forced and the owner has no BYPASSRLS.
CREATE TABLE good.forced (id int, user_id uuid);
ALTER TABLE good.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE good.forced OWNER TO app_owner;
CREATE VIEW good.over_forced AS SELECT * FROM good.forced;
ALTER VIEW good.over_forced OWNER TO app_owner;
GRANT SELECT ON good.over_forced TO authenticated;
-- Client roles may read the table directly: rls-off finds it.
CREATE TABLE good.stations (id int);
GRANT SELECT ON good.stations TO anon, authenticated;
CREATE VIEW good.station_list AS SELECT * FROM good.stations;
GRANT SELECT ON good.station_list TO anon;

-- Twenty levels of three views have billions of paths.
CREATE VIEW good."0_0" WITH (security_invoker = true) AS SELECT * FROM bad.accounts;
CREATE VIEW good."0_1" WITH (security_invoker = true) AS SELECT * FROM bad.accounts;
CREATE VIEW good."0_2" WITH (security_invoker = true) AS SELECT * FROM bad.accounts;
DO $$
BEGIN
    FOR depth IN 1..20 LOOP
        FOR n IN 0..2 LOOP
            EXECUTE format('CREATE VIEW good.%I WITH (security_invoker = true) AS SELECT a.id '
                'FROM good.%I AS a, good.%I AS b, good.%I AS c',
                depth || '_' || n, depth - 1 || '_0', depth - 1 || '_1', depth - 1 || '_2');
        END LOOP;
    END LOOP;
END
$$;
GRANT SELECT ON good."20_0" TO authenticated;
