-- CrewSnow, a ski-dating application on a Supabase-style PostgreSQL: roles, schema auth, tables.
-- Load it as superuser into a fresh database, before CREATE EXTENSION crewsnow_ops. Until
-- policies.sql has run, only service_role can read and write the tables. Unlike Supabase, it has no
-- ALTER DEFAULT PRIVILEGES, which would also grant privileges on objects of the extension and of
-- later scripts.

-- Roles belong to the cluster. Another database may have created them, or may do so at the same
-- time.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('anon', 'NOLOGIN NOINHERIT'),
            ('authenticated', 'NOLOGIN NOINHERIT'),
            ('service_role', 'NOLOGIN NOINHERIT BYPASSRLS'),
            ('authenticator', 'LOGIN NOINHERIT')
        ) AS roles (name, options)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name);
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.options);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    FOR wanted IN SELECT unnest(ARRAY['anon', 'authenticated', 'service_role']) AS name LOOP
        CONTINUE WHEN pg_has_role('authenticator', wanted.name, 'MEMBER');
        BEGIN
            EXECUTE format('GRANT %I TO authenticator', wanted.name);
        EXCEPTION
            -- "tuple concurrently updated" is an internal error
            WHEN unique_violation OR internal_error THEN NULL;
        END;
    END LOOP;
    IF NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'service_role') THEN
        RAISE WARNING 'service_role lacks BYPASSRLS: row-level security hides every row from it';
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

-- The parts of Supabase Auth that applications use.
CREATE SCHEMA auth;
COMMENT ON SCHEMA auth IS
    'Substitute for Supabase Auth: the accounts, and the identity of the current request.';
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;

CREATE TABLE auth.users (
    id uuid PRIMARY KEY,
    email text,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_anonymous boolean NOT NULL DEFAULT false,
    email_confirmed_at timestamptz,
    last_sign_in_at timestamptz,
    banned_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_key UNIQUE (email)
);
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.users IS
    'Accounts. Only the server changes raw_app_meta_data. Never authorise by raw_user_meta_data.';

-- Verbatim from Supabase. PostgREST sets request.jwt.claims; its old versions use one setting per
-- claim.
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
    )::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
    )::text
$$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
COMMENT ON FUNCTION auth.uid() IS 'The user of the current request; NULL without one.';
COMMENT ON FUNCTION auth.role() IS 'The role claim of the current request; NULL without one.';
COMMENT ON FUNCTION auth.jwt() IS 'All claims of the current request; NULL without one.';

-- Schema of helper functions. No role gets USAGE: policies and triggers do not need it, and callers
-- must not call the functions directly.
CREATE SCHEMA private;
COMMENT ON SCHEMA private IS 'Helper functions of policies and triggers; not part of the API.';

-- Users and stations.
CREATE TABLE public.users (
    id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 50),
    birth_year smallint NOT NULL CHECK (birth_year BETWEEN 1920 AND 2100),
    gender text NOT NULL CHECK (gender IN ('woman', 'man', 'nonbinary')),
    bio text CHECK (char_length(bio) <= 500),
    level text NOT NULL CHECK (level IN ('beginner', 'intermediate', 'advanced', 'expert')),
    ride_styles text[] NOT NULL DEFAULT '{}'
        CHECK (ride_styles <@ ARRAY['piste', 'freeride', 'park', 'touring', 'snowboard']),
    languages text[] NOT NULL CHECK (cardinality(languages) > 0
        AND languages <@ ARRAY['fr', 'de', 'it', 'en']),
    region text NOT NULL CHECK (region IN ('FR', 'CH', 'AT', 'IT')),
    is_active boolean NOT NULL DEFAULT true,
    is_beta_tester boolean NOT NULL DEFAULT false,
    last_active_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (last_active_at >= created_at)
);
CREATE INDEX users_region_last_active_at_idx ON public.users (region, last_active_at DESC)
    WHERE is_active;
CREATE INDEX users_created_at_idx ON public.users (created_at);
COMMENT ON TABLE public.users IS
    'Profiles, visible to matched users. Contact data is in auth.users.';

CREATE TABLE public.profile_photos (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    storage_path text NOT NULL UNIQUE,
    position smallint NOT NULL CHECK (position BETWEEN 1 AND 6),
    is_main boolean NOT NULL DEFAULT false,
    moderation_status text NOT NULL DEFAULT 'pending'
        CHECK (moderation_status IN ('pending', 'approved', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, position)
);
CREATE UNIQUE INDEX profile_photos_main_idx ON public.profile_photos (user_id) WHERE is_main;
CREATE INDEX profile_photos_pending_idx ON public.profile_photos (created_at)
    WHERE moderation_status = 'pending';
COMMENT ON TABLE public.profile_photos IS
    'Photos in object storage. Matched users see approved ones.';

CREATE TABLE public.stations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9-]+$'),
    name text NOT NULL,
    country text NOT NULL CHECK (country IN ('FR', 'CH', 'AT', 'IT')),
    latitude numeric(7, 4) NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude numeric(7, 4) NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    base_m integer NOT NULL,
    summit_m integer NOT NULL,
    CHECK (summit_m > base_m)
);
CREATE INDEX stations_country_idx ON public.stations (country);
COMMENT ON TABLE public.stations IS 'Ski resorts, readable by anon and authenticated.';

CREATE TABLE public.user_station_status (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    station_id uuid NOT NULL REFERENCES public.stations (id),
    date_from date NOT NULL,
    date_to date NOT NULL,
    radius_km smallint NOT NULL DEFAULT 25 CHECK (radius_km BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, station_id, date_from),
    CHECK (date_to >= date_from)
);
CREATE INDEX user_station_status_station_id_idx ON public.user_station_status (station_id,
    date_from, date_to);
COMMENT ON TABLE public.user_station_status IS 'Stays at stations that users announce.';

-- Likes, matches, messages.
CREATE TABLE public.likes (
    liker_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    liked_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    is_super boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (liker_id, liked_id),
    CHECK (liker_id <> liked_id)
);
CREATE INDEX likes_liked_id_idx ON public.likes (liked_id, created_at DESC);
COMMENT ON TABLE public.likes IS
    'Likes between users. Two likes in opposite directions make a match.';

CREATE TABLE public.matches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user1_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    user2_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    unmatched_at timestamptz,
    UNIQUE (user1_id, user2_id),
    CHECK (user1_id < user2_id),
    CHECK (unmatched_at >= created_at)
);
CREATE INDEX matches_user2_id_idx ON public.matches (user2_id);
CREATE INDEX matches_created_at_idx ON public.matches (created_at);
COMMENT ON TABLE public.matches IS
    'Pairs of users who like each other, the lower id first. Active until unmatched_at is set.';

CREATE TABLE public.messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    match_id uuid NOT NULL REFERENCES public.matches (id) ON DELETE CASCADE,
    sender_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    content text NOT NULL CHECK (char_length(content) BETWEEN 1 AND 2000),
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    CHECK (read_at >= created_at)
);
CREATE INDEX messages_match_id_idx ON public.messages (match_id, created_at DESC);
CREATE INDEX messages_sender_id_idx ON public.messages (sender_id, created_at DESC);
CREATE INDEX messages_created_at_idx ON public.messages
    USING brin (created_at) WITH (pages_per_range = 16);
COMMENT ON TABLE public.messages IS
    'Messages of a match. Its two members write them while the flag messaging is on.';

CREATE TABLE public.groups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    owner_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    station_id uuid NOT NULL REFERENCES public.stations (id),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX groups_owner_id_idx ON public.groups (owner_id);
CREATE INDEX groups_station_id_idx ON public.groups (station_id);
COMMENT ON TABLE public.groups IS 'Groups of users who ride together.';

CREATE TABLE public.group_members (
    group_id uuid NOT NULL REFERENCES public.groups (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user_id_idx ON public.group_members (user_id);
COMMENT ON TABLE public.group_members IS 'Members of groups, including the owner.';

-- Payments. Only the webhooks write these tables.
CREATE TABLE public.subscriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    stripe_customer_id text NOT NULL,
    stripe_subscription_id text NOT NULL UNIQUE,
    plan text NOT NULL CHECK (plan IN ('premium_monthly', 'premium_season', 'premium_yearly')),
    status text NOT NULL
        CHECK (status IN
            ('incomplete', 'trialing', 'active', 'past_due', 'canceled', 'unpaid')),
    current_period_start timestamptz NOT NULL,
    current_period_end timestamptz NOT NULL,
    cancel_at_period_end boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (current_period_end > current_period_start)
);
CREATE UNIQUE INDEX subscriptions_live_idx ON public.subscriptions (user_id)
    WHERE status IN ('trialing', 'active', 'past_due');
CREATE INDEX subscriptions_user_id_idx ON public.subscriptions (user_id);
CREATE INDEX subscriptions_stripe_customer_id_idx ON public.subscriptions (stripe_customer_id);
COMMENT ON TABLE public.subscriptions IS
    'Stripe subscriptions, at most one live one per user. Active or trialing means premium.';

CREATE TABLE public.boosts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    station_id uuid NOT NULL REFERENCES public.stations (id),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at)
);
CREATE INDEX boosts_user_id_idx ON public.boosts (user_id);
CREATE INDEX boosts_station_id_idx ON public.boosts (station_id, ends_at);
COMMENT ON TABLE public.boosts IS 'Paid visibility at a station from starts_at to ends_at.';

-- Privacy, quotas, tracking.
CREATE TABLE public.consents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    purpose text NOT NULL
        CHECK (purpose IN ('terms', 'location', 'push', 'analytics', 'marketing')),
    version smallint NOT NULL DEFAULT 1,
    granted_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    UNIQUE (user_id, purpose, version),
    CHECK (revoked_at >= granted_at)
);
COMMENT ON TABLE public.consents IS
    'Consents of users; revoked_at NULL while valid. Rows are kept as evidence.';

CREATE TABLE public.daily_usage (
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    usage_date date NOT NULL,
    likes_sent integer NOT NULL DEFAULT 0 CHECK (likes_sent >= 0),
    messages_sent integer NOT NULL DEFAULT 0 CHECK (messages_sent >= 0),
    PRIMARY KEY (user_id, usage_date)
);
COMMENT ON TABLE public.daily_usage IS 'Likes and messages sent per user and UTC day, for quotas.';

CREATE TABLE public.ride_stats_daily (
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    station_id uuid NOT NULL REFERENCES public.stations (id),
    ride_date date NOT NULL,
    runs smallint NOT NULL CHECK (runs > 0),
    distance_km numeric(5, 1) NOT NULL CHECK (distance_km > 0),
    vertical_m integer NOT NULL CHECK (vertical_m > 0),
    top_speed_kmh numeric(4, 1) NOT NULL CHECK (top_speed_kmh BETWEEN 5 AND 180),
    PRIMARY KEY (user_id, ride_date, station_id)
);
CREATE INDEX ride_stats_daily_station_id_idx ON public.ride_stats_daily (station_id, ride_date);
COMMENT ON TABLE public.ride_stats_daily IS
    'Measurements of the tracker, by user, day and station.';

-- Operations. Only service_role reads and writes these tables.
CREATE TABLE public.stripe_events (
    event_id text PRIMARY KEY,
    event_type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    status text NOT NULL DEFAULT 'received' CHECK (status IN ('received', 'processed', 'failed')),
    error_message text,
    attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    payload jsonb NOT NULL DEFAULT '{}',
    CHECK ((status = 'processed') = (processed_at IS NOT NULL)),
    CHECK (status <> 'failed' OR error_message IS NOT NULL),
    CHECK (processed_at >= received_at)
);
CREATE INDEX stripe_events_received_at_idx ON public.stripe_events (received_at);
CREATE INDEX stripe_events_open_idx ON public.stripe_events (received_at)
    WHERE status <> 'processed';
COMMENT ON TABLE public.stripe_events IS
    'Stripe events, once each. status is that of the processing, not of the payment.';

CREATE TABLE public.edge_function_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    function_name text NOT NULL,
    endpoint text NOT NULL,
    user_id uuid REFERENCES public.users (id) ON DELETE SET NULL,
    status_code smallint NOT NULL CHECK (status_code BETWEEN 100 AND 599),
    execution_time_ms integer NOT NULL CHECK (execution_time_ms >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX edge_function_calls_created_at_idx ON public.edge_function_calls (created_at);
CREATE INDEX edge_function_calls_function_name_idx
    ON public.edge_function_calls (function_name, created_at);
CREATE INDEX edge_function_calls_user_id_idx ON public.edge_function_calls (user_id)
    WHERE user_id IS NOT NULL;
COMMENT ON TABLE public.edge_function_calls IS 'Calls of edge functions, kept for a short time.';

CREATE MATERIALIZED VIEW public.kpi_daily AS
SELECT day, sum(signups)::integer AS signups, sum(matches)::integer AS matches,
    sum(messages)::integer AS messages
FROM (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS signups, 0 AS matches,
        0 AS messages
    FROM public.users GROUP BY 1
    UNION ALL
    SELECT (created_at AT TIME ZONE 'UTC')::date, 0, count(*), 0 FROM public.matches GROUP BY 1
    UNION ALL
    SELECT (created_at AT TIME ZONE 'UTC')::date, 0, 0, count(*) FROM public.messages GROUP BY 1
) AS counts
GROUP BY day;
CREATE UNIQUE INDEX kpi_daily_day_idx ON public.kpi_daily (day);  -- for REFRESH CONCURRENTLY
COMMENT ON MATERIALIZED VIEW public.kpi_daily IS 'Sign-ups, matches and messages by UTC day.';

-- Each table by name: ON ALL TABLES would include those of the extension.
GRANT ALL ON public.users, public.profile_photos, public.stations, public.user_station_status,
    public.likes, public.matches, public.messages, public.groups, public.group_members,
    public.subscriptions, public.boosts, public.consents, public.daily_usage,
    public.ride_stats_daily, public.stripe_events, public.edge_function_calls, public.kpi_daily
    TO service_role;
