-- Eight deliberate leaks, each of a kind found in real projects, for tests of the security audit.
-- Never load them for another purpose. Load them as superuser, after schema.sql, CREATE EXTENSION,
-- policies.sql and data.sql. To undo them, create a new database.
--
-- Creates: 1 table    public.crash_reports
--          2 policy   "Service role full access" ON public.stripe_events
--          3 policy   "Users can update own photos" ON public.profile_photos
--          4 view     public.member_directory
--          5 function public.get_account(uuid)
--          6 policy   "Admins can view traffic" ON public.edge_function_calls
--          7 policy   "Rides are private" ON public.ride_stats_daily
--          8 tables   public.ride_points, public.ride_points_recent, public.ride_points_old
--            policy   "Users see their own points" ON public.ride_points
-- Changes: 2 grants   SELECT ON public.stripe_events TO anon, authenticated
--          3 grants   UPDATE (user_id, storage_path) ON public.profile_photos TO authenticated
--          6 grants   SELECT ON public.edge_function_calls TO authenticated
--          7 grants   SELECT ON public.ride_stats_daily TO anon

-- 1. Row-level security is off. The usual grants of a migration make the table public.
CREATE TABLE public.crash_reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    device text NOT NULL,
    stack text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX crash_reports_user_id_idx ON public.crash_reports (user_id);
GRANT ALL ON public.crash_reports TO anon, authenticated, service_role;
INSERT INTO public.crash_reports (user_id, device, stack)
SELECT id, 'iPhone 15', 'Fatal: token eyJhbGciOi... of ' || display_name || ' rejected'
    FROM public.users ORDER BY id LIMIT 50;

-- 2. The policy was intended for service_role, which needs none. Without TO it applies to PUBLIC.
CREATE POLICY "Service role full access" ON public.stripe_events FOR ALL USING (true);
GRANT SELECT ON public.stripe_events TO anon, authenticated;

-- 3. WITH CHECK (true): a user can give an own photo to a match. Without a WHERE clause, which
-- would need SELECT on the new row, the user can give it to any user. Permissive policies are
-- combined with OR, so the correct policy does not help.
CREATE POLICY "Users can update own photos" ON public.profile_photos FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (true);
GRANT UPDATE (user_id, storage_path) ON public.profile_photos TO authenticated;

-- 4. The view runs with the privileges of its owner, to whom row-level security does not apply. It
-- shows every profile with its e-mail address.
CREATE VIEW public.member_directory AS
SELECT users.id, users.display_name, users.region, account.email, account.last_sign_in_at
FROM public.users JOIN auth.users AS account ON account.id = users.id;
GRANT SELECT ON public.member_directory TO authenticated;

-- 5. SECURITY DEFINER without search_path. Like every new function, anon can call it, and it does
-- not check the caller.
CREATE FUNCTION public.get_account(p_user_id uuid) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT jsonb_build_object('email', account.email,
        'provider', account.raw_app_meta_data ->> 'provider', 'profile', to_jsonb(profile))
    FROM auth.users AS account JOIN public.users AS profile ON profile.id = account.id
    WHERE account.id = p_user_id
$$;

-- 6. Authorisation by user_metadata, which users change themselves:
-- supabase.auth.updateUser({ data: { role: 'admin' } })
CREATE POLICY "Admins can view traffic" ON public.edge_function_calls FOR SELECT TO authenticated
    USING (((SELECT auth.jwt()) -> 'user_metadata' ->> 'role') = 'admin');
GRANT SELECT ON public.edge_function_calls TO authenticated;

-- 7. The NULL test is inverted: a request without sign-in sees every row.
CREATE POLICY "Rides are private" ON public.ride_stats_daily FOR SELECT TO anon, authenticated
    USING (auth.uid() IS NULL OR user_id = auth.uid());
GRANT SELECT ON public.ride_stats_daily TO anon;

-- 8. Row-level security is on for the parent but not for its partitions. It then applies only to
-- queries through the parent.
CREATE TABLE public.ride_points (
    user_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    latitude numeric(7, 4) NOT NULL,
    longitude numeric(7, 4) NOT NULL,
    PRIMARY KEY (user_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE TABLE public.ride_points_old PARTITION OF public.ride_points
    FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00');
CREATE TABLE public.ride_points_recent PARTITION OF public.ride_points
    FOR VALUES FROM ('2020-01-01 00:00:00+00') TO (MAXVALUE);
ALTER TABLE public.ride_points ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users see their own points" ON public.ride_points FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
GRANT SELECT ON public.ride_points, public.ride_points_old, public.ride_points_recent
    TO authenticated;
INSERT INTO public.ride_points (user_id, recorded_at, latitude, longitude)
SELECT users.id, now() - minute * interval '1 minute', 45.9237 + minute * 0.0007,
    6.8694 - minute * 0.0004
FROM (SELECT id FROM public.users ORDER BY id LIMIT 20) AS users, generate_series(1, 30) AS minute;
