-- End-to-end tests, which decisions run and undo. One follows new users from sign-up to boost, the
-- other tests payments. Load them as superuser, after schema.sql, CREATE EXTENSION crewsnow_ops,
-- policies.sql and data.sql.
--
-- Each test is a plan of steps. crewsnow_ops runs the steps in order, with the role and claims of
-- each.

-- The account that the sign-up endpoint of Supabase Auth would create; for service_role only.
CREATE FUNCTION auth.sign_up(p_id uuid, p_email text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = '' AS $$
    INSERT INTO auth.users (id, email, raw_app_meta_data)
        VALUES (p_id, p_email, '{"provider": "email"}')
$$;
COMMENT ON FUNCTION auth.sign_up(uuid, text) IS 'Creates an account.';
REVOKE ALL ON FUNCTION auth.sign_up(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.sign_up(uuid, text) TO service_role;

CREATE SCHEMA e2e;
COMMENT ON SCHEMA e2e IS 'End-to-end tests.';
GRANT USAGE ON SCHEMA e2e TO service_role;

CREATE FUNCTION e2e.first_evening()
    RETURNS TABLE (step text, role text, claims jsonb, statement text)
    LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    ada uuid := gen_random_uuid();
    ben uuid := gen_random_uuid();
    eve uuid := gen_random_uuid();
    the_match uuid := gen_random_uuid();
    as_ada jsonb := jsonb_build_object('sub', ada, 'role', 'authenticated');
    as_ben jsonb := jsonb_build_object('sub', ben, 'role', 'authenticated');
    as_eve jsonb := jsonb_build_object('sub', eve, 'role', 'authenticated');
    profile text :=
        'INSERT INTO public.users
             (id, display_name, birth_year, gender, level, languages, region)
         VALUES (%L, %L, 1995, ''woman'', ''expert'', ''{fr}'', ''FR'')';
BEGIN
    RETURN QUERY VALUES
        ('sign-up', 'service_role', '{}'::jsonb,
            format('SELECT auth.sign_up(id, id || ''@example.org'') FROM unnest(%L::uuid[]) AS id',
                ARRAY[ada, ben, eve])),
        ('Ada''s profile', 'authenticated', as_ada, format(profile, ada, 'Ada')),
        ('Ben''s profile', 'authenticated', as_ben, format(profile, ben, 'Ben')),
        ('Ada likes Ben', 'authenticated', as_ada,
            format('INSERT INTO public.likes (liker_id, liked_id) VALUES (%L, %L)', ada, ben)),
        ('Ben likes Ada', 'authenticated', as_ben,
            format('INSERT INTO public.likes (liker_id, liked_id) VALUES (%L, %L)', ben, ada)),
        ('match', 'service_role', '{}',
            format(
                'INSERT INTO public.matches (id, user1_id, user2_id)
                 SELECT %1$L, least(a.liker_id, a.liked_id), greatest(a.liker_id, a.liked_id)
                 FROM public.likes AS a JOIN public.likes AS b
                     ON (a.liker_id, a.liked_id) = (b.liked_id, b.liker_id)
                 WHERE a.liker_id = %2$L RETURNING true',
                the_match, ada
            )),
        ('Ada sees Ben', 'authenticated', as_ada,
            format('SELECT count(*) = 1 FROM public.users WHERE id = %L', ben)),
        ('Ada writes', 'authenticated', as_ada,
            format(
                'INSERT INTO public.messages (match_id, sender_id, content)
                 VALUES (%L, %L, ''First lift at nine?'')',
                the_match, ada
            )),
        ('Ben reads', 'authenticated', as_ben,
            format(
                'UPDATE public.messages SET read_at = now() WHERE match_id = %L
                 RETURNING content = ''First lift at nine?''',
                the_match
            )),
        ('Eve sees none of it', 'authenticated', as_eve,
            format(
                'SELECT (SELECT count(*) FROM public.messages)
                     + (SELECT count(*) FROM public.matches)
                     + (SELECT count(*) FROM public.users WHERE id IN (%L, %L)) = 0',
                ada, ben
            )),
        ('Ada goes premium', 'service_role', '{}',
            format(
                'INSERT INTO public.subscriptions
                     (user_id, stripe_customer_id, stripe_subscription_id, plan, status,
                     current_period_start, current_period_end)
                 VALUES (%1$L, ''cus_'' || %1$L, ''sub_'' || %1$L, ''premium_season'', ''active'',
                     now(), now() + interval ''6 months'')',
                ada
            )),
        ('Ada''s subscription', 'authenticated', as_ada,
            'SELECT status = ''active'' FROM public.subscriptions'),
        ('boost', 'service_role', '{}',
            format(
                'INSERT INTO public.boosts (user_id, station_id, starts_at, ends_at)
                 SELECT %L, id, now(), now() + interval ''1 hour'' FROM public.stations
                     ORDER BY slug LIMIT 1 RETURNING true',
                ada
            )),
        ('Ada''s boost', 'authenticated', as_ada, 'SELECT ends_at > now() FROM public.boosts');
END
$$;
COMMENT ON FUNCTION e2e.first_evening() IS
    'Two users sign up, match and chat; one goes premium and boosts; a third sees none of it.';

CREATE FUNCTION e2e.subscriptions()
    RETURNS TABLE (step text, role text, claims jsonb, statement text)
    LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    ada uuid := gen_random_uuid();
    as_ada jsonb := jsonb_build_object('sub', ada, 'role', 'authenticated');
    event text :=
        'INSERT INTO public.stripe_events (event_id, event_type, status, processed_at, attempts)
         VALUES (''evt_'' || gen_random_uuid(), %L, ''processed'', now(), 1) RETURNING true';
BEGIN
    RETURN QUERY VALUES
        ('an account', 'service_role', '{}'::jsonb,
            format('SELECT auth.sign_up(%1$L, %1$L || ''@example.org'')', ada)),
        ('a profile', 'authenticated', as_ada,
            format(
                'INSERT INTO public.users
                     (id, display_name, birth_year, gender, level, languages, region)
                 VALUES (%L, ''Ada'', 1995, ''woman'', ''expert'', ''{fr}'', ''FR'')',
                ada
            )),
        ('checkout is recorded', 'service_role', '{}', format(event, 'checkout.session.completed')),
        ('the subscription begins', 'service_role', '{}',
            format(
                'INSERT INTO public.subscriptions
                     (user_id, stripe_customer_id, stripe_subscription_id, plan, status,
                     current_period_start, current_period_end)
                 VALUES (%1$L, ''cus_'' || %1$L, ''sub_'' || %1$L, ''premium_monthly'', ''active'',
                     now(), now() + interval ''1 month'')',
                ada
            )),
        ('the user sees it', 'authenticated', as_ada,
            'SELECT status = ''active'' FROM public.subscriptions'),
        ('no other user sees it', 'authenticated',
            jsonb_build_object('sub', gen_random_uuid(), 'role', 'authenticated'),
            'SELECT count(*) = 0 FROM public.subscriptions'),
        ('cancellation is recorded', 'service_role', '{}',
            format(event, 'customer.subscription.deleted')),
        ('the subscription ends', 'service_role', '{}',
            format(
                'UPDATE public.subscriptions SET status = ''canceled'', updated_at = now()
                 WHERE user_id = %L RETURNING true',
                ada
            )),
        ('the user is not premium', 'authenticated', as_ada,
            'SELECT count(*) = 0 FROM public.subscriptions
             WHERE status IN (''active'', ''trialing'')');
END
$$;
COMMENT ON FUNCTION e2e.subscriptions() IS 'A subscription from checkout to cancellation.';
REVOKE ALL ON FUNCTION e2e.first_evening(), e2e.subscriptions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION e2e.first_evening(), e2e.subscriptions() TO service_role;

SELECT crewsnow_ops.register_e2e_test('first evening', 'e2e.first_evening()', 'service_role');
SELECT crewsnow_ops.register_e2e_test('subscriptions', 'e2e.subscriptions()', 'service_role',
    p_criterion => 'payments');
