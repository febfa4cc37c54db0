-- Row-level security, and the privileges of anon and authenticated. Each grant stands next to the
-- policies that limit it. Load it as superuser, after schema.sql and CREATE EXTENSION crewsnow_ops,
-- because policies evaluate flags.
--
-- Every policy has a TO clause, and every policy for writes a WITH CHECK. The identity is (SELECT
-- auth.uid()), which the server evaluates once per statement instead of once per row. INSERT and
-- UPDATE are granted on the columns that users may set. FORCE is not needed: the owner is the
-- superuser, as on Supabase.

-- Row-level security is enabled on every table first, so no table is open before its policies
-- exist.
ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.profile_photos ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.stations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_station_status ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.likes ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.group_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.subscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.boosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.daily_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.ride_stats_daily ENABLE ROW LEVEL SECURITY;
-- These two have no policy and no grant. Only service_role, which bypasses row-level security,
-- reads them.
ALTER TABLE public.stripe_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.edge_function_calls ENABLE ROW LEVEL SECURITY;

-- SECURITY DEFINER, because a policy that reads its own table is an infinite recursion. The
-- functions return rows of the current user only.
CREATE FUNCTION private.matched_user_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT user2_id FROM public.matches WHERE user1_id = (SELECT auth.uid())
            AND unmatched_at IS NULL
        UNION ALL
        SELECT user1_id FROM public.matches WHERE user2_id = (SELECT auth.uid())
            AND unmatched_at IS NULL
    $$;
COMMENT ON FUNCTION private.matched_user_ids() IS
    'The users with whom the current user has an active match.';
CREATE FUNCTION private.group_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT group_id FROM public.group_members WHERE user_id = (SELECT auth.uid())
    $$;
COMMENT ON FUNCTION private.group_ids() IS 'The groups of the current user.';
CREATE FUNCTION private.owned_group_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT id FROM public.groups WHERE owner_id = (SELECT auth.uid())
    $$;
COMMENT ON FUNCTION private.owned_group_ids() IS 'The groups that the current user owns.';
REVOKE ALL ON FUNCTION private.matched_user_ids(), private.group_ids(), private.owned_group_ids()
    FROM PUBLIC;
-- Policies run as the caller, who needs EXECUTE. Without USAGE on the schema, the caller cannot
-- call the functions directly.
GRANT EXECUTE ON FUNCTION private.matched_user_ids(), private.group_ids(), private.owned_group_ids()
    TO authenticated;

-- stations: the only public table.
GRANT SELECT ON public.stations TO anon, authenticated;
CREATE POLICY "Stations are public" ON public.stations FOR SELECT TO anon, authenticated
    USING (true);

-- users: users read themselves and their matches. The edge function match-candidates serves the
-- others.
GRANT SELECT ON public.users TO authenticated;
GRANT INSERT (id, display_name, birth_year, gender, bio, level, ride_styles, languages, region)
    ON public.users TO authenticated;
GRANT UPDATE (display_name, bio, level, ride_styles, languages, region, is_active) ON public.users
    TO authenticated;
CREATE POLICY "Users see themselves and their matches" ON public.users FOR SELECT TO authenticated
    USING (id = (SELECT auth.uid()) OR id IN (SELECT private.matched_user_ids()));
CREATE POLICY "Users create their own profile while registration is open" ON public.users FOR INSERT
    TO authenticated
    WITH CHECK (
        id = (SELECT auth.uid())
        AND (SELECT public.is_feature_enabled_for_user('user_registration', auth.uid()))
    );
CREATE POLICY "Users change their own profile" ON public.users FOR UPDATE TO authenticated
    USING (id = (SELECT auth.uid()))
    WITH CHECK (id = (SELECT auth.uid()));

-- profile_photos: only moderators set moderation_status.
GRANT SELECT, DELETE ON public.profile_photos TO authenticated;
GRANT INSERT (id, user_id, storage_path, position, is_main) ON public.profile_photos
    TO authenticated;
GRANT UPDATE (position, is_main) ON public.profile_photos TO authenticated;
CREATE POLICY "Users see their own photos" ON public.profile_photos FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY "Users see the approved photos of their matches" ON public.profile_photos FOR SELECT
    TO authenticated
    USING (moderation_status = 'approved' AND user_id IN (SELECT private.matched_user_ids()));
CREATE POLICY "Users add their own photos" ON public.profile_photos FOR INSERT TO authenticated
    WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY "Users arrange their own photos" ON public.profile_photos FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY "Users remove their own photos" ON public.profile_photos FOR DELETE TO authenticated
    USING (user_id = (SELECT auth.uid()));

-- user_station_status: users read only their own stays. The edge function geo-nearby serves blurred
-- ones.
GRANT SELECT, DELETE ON public.user_station_status TO authenticated;
GRANT INSERT (id, user_id, station_id, date_from, date_to, radius_km) ON public.user_station_status
    TO authenticated;
GRANT UPDATE (station_id, date_from, date_to, radius_km) ON public.user_station_status
    TO authenticated;
CREATE POLICY "Users manage their own stays" ON public.user_station_status FOR ALL TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (user_id = (SELECT auth.uid()));

-- likes: users read only the likes that they gave. An edge function serves received likes to
-- premium users.
GRANT SELECT ON public.likes TO authenticated;
GRANT INSERT (liker_id, liked_id, is_super) ON public.likes TO authenticated;
CREATE POLICY "Users see the likes they gave" ON public.likes FOR SELECT TO authenticated
    USING (liker_id = (SELECT auth.uid()));
CREATE POLICY "Users like as themselves while matching is on" ON public.likes FOR INSERT
    TO authenticated
    WITH CHECK (
        liker_id = (SELECT auth.uid())
        AND (SELECT public.is_feature_enabled_for_user('basic_matching', auth.uid()))
    );

-- matches: the server creates them. Members can end them, but not reopen them.
GRANT SELECT ON public.matches TO authenticated;
GRANT UPDATE (unmatched_at) ON public.matches TO authenticated;
CREATE POLICY "Members see their matches" ON public.matches FOR SELECT TO authenticated
    USING ((SELECT auth.uid()) IN (user1_id, user2_id));
CREATE POLICY "Members end their matches" ON public.matches FOR UPDATE TO authenticated
    USING ((SELECT auth.uid()) IN (user1_id, user2_id) AND unmatched_at IS NULL)
    WITH CHECK ((SELECT auth.uid()) IN (user1_id, user2_id) AND unmatched_at IS NOT NULL);

-- messages: the flag messaging is a kill switch in the database itself. It works even if clients
-- and edge functions have cached another value.
GRANT SELECT ON public.messages TO authenticated;
GRANT INSERT (id, match_id, sender_id, content) ON public.messages TO authenticated;
GRANT UPDATE (read_at) ON public.messages TO authenticated;
CREATE POLICY "Members read the messages of their matches" ON public.messages FOR SELECT
    TO authenticated
    USING (match_id IN (
        SELECT id FROM public.matches WHERE user1_id = (SELECT auth.uid())
            OR user2_id = (SELECT auth.uid())
    ));
CREATE POLICY "Members write in active matches while messaging is on" ON public.messages FOR INSERT
    TO authenticated
    WITH CHECK (
        sender_id = (SELECT auth.uid())
        AND match_id IN (
            SELECT id FROM public.matches
            WHERE (user1_id = (SELECT auth.uid()) OR user2_id = (SELECT auth.uid()))
                AND unmatched_at IS NULL
        )
        AND (SELECT public.is_feature_enabled_for_user('messaging', auth.uid()))
    );
CREATE POLICY "Recipients mark messages as read" ON public.messages FOR UPDATE TO authenticated
    USING (sender_id <> (SELECT auth.uid()) AND match_id IN (
        SELECT id FROM public.matches WHERE user1_id = (SELECT auth.uid())
            OR user2_id = (SELECT auth.uid())
    ))
    WITH CHECK (sender_id <> (SELECT auth.uid()) AND match_id IN (
        SELECT id FROM public.matches WHERE user1_id = (SELECT auth.uid())
            OR user2_id = (SELECT auth.uid())
    ));

-- groups and group_members: members read them. Owners add themselves and users with whom they have
-- a match.
GRANT SELECT, DELETE ON public.groups TO authenticated;
GRANT INSERT (id, name, owner_id, station_id), UPDATE (name, station_id) ON public.groups
    TO authenticated;
CREATE POLICY "Members see their groups" ON public.groups FOR SELECT TO authenticated
    USING (owner_id = (SELECT auth.uid()) OR id IN (SELECT private.group_ids()));
CREATE POLICY "Users found groups" ON public.groups FOR INSERT TO authenticated
    WITH CHECK (owner_id = (SELECT auth.uid()));
CREATE POLICY "Owners change their groups" ON public.groups FOR UPDATE TO authenticated
    USING (owner_id = (SELECT auth.uid()))
    WITH CHECK (owner_id = (SELECT auth.uid()));
CREATE POLICY "Owners dissolve their groups" ON public.groups FOR DELETE TO authenticated
    USING (owner_id = (SELECT auth.uid()));

GRANT SELECT, DELETE ON public.group_members TO authenticated;
GRANT INSERT (group_id, user_id) ON public.group_members TO authenticated;
CREATE POLICY "Members see who is in their groups" ON public.group_members FOR SELECT
    TO authenticated
    USING (user_id = (SELECT auth.uid()) OR group_id IN (SELECT private.group_ids())
        OR group_id IN (SELECT private.owned_group_ids()));
CREATE POLICY "Owners take in themselves and their matches" ON public.group_members FOR INSERT
    TO authenticated
    WITH CHECK (
        group_id IN (SELECT private.owned_group_ids())
        AND (user_id = (SELECT auth.uid()) OR user_id IN (SELECT private.matched_user_ids()))
    );
CREATE POLICY "Members leave and owners remove" ON public.group_members FOR DELETE TO authenticated
    USING (user_id = (SELECT auth.uid()) OR group_id IN (SELECT private.owned_group_ids()));

-- Their user only reads these: the server writes them after payments and measurements.
GRANT SELECT ON public.subscriptions, public.boosts, public.daily_usage TO authenticated;
CREATE POLICY "Users see their own subscriptions" ON public.subscriptions FOR SELECT
    TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY "Users see their own boosts" ON public.boosts FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY "Users see their own usage" ON public.daily_usage FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));

-- ride_stats_daily: the server writes the rows, and their user can erase them.
GRANT SELECT, DELETE ON public.ride_stats_daily TO authenticated;
CREATE POLICY "Users see their own rides" ON public.ride_stats_daily FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY "Users erase their own rides" ON public.ride_stats_daily FOR DELETE TO authenticated
    USING (user_id = (SELECT auth.uid()));

-- consents: users give and revoke them, but never erase them.
GRANT SELECT ON public.consents TO authenticated;
GRANT INSERT (id, user_id, purpose, version), UPDATE (revoked_at) ON public.consents
    TO authenticated;
CREATE POLICY "Users see their own consents" ON public.consents FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY "Users consent for themselves" ON public.consents FOR INSERT TO authenticated
    WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY "Users revoke their own consents" ON public.consents FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (user_id = (SELECT auth.uid()));
