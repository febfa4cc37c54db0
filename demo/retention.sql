-- How long the application keeps personal data, and why. Rows of an account go with the account.
INSERT INTO crewsnow_ops.retention_policies
    (name, target, time_column, keep, action, replacements, hold, cascades_to, legal_basis)
VALUES
    ('inactive accounts', 'auth.users', 'last_sign_in_at', '3 years', 'delete', NULL,
        -- A paying account is a contract, even if nobody signs in.
        $$EXISTS (SELECT FROM public.subscriptions AS s WHERE s.user_id = users.id
            AND s.status IN ('trialing', 'active', 'past_due'))$$,
        ARRAY['public.users', 'public.profile_photos', 'public.user_station_status',
            'public.likes', 'public.matches', 'public.messages', 'public.groups',
            'public.group_members', 'public.subscriptions', 'public.boosts', 'public.consents',
            'public.daily_usage', 'public.ride_stats_daily', 'public.edge_function_calls'],
        'storage limitation: an account ends three years after the last sign-in'),
    ('ended matches', 'public.matches', 'unmatched_at', '1 year', 'delete', NULL, NULL,
        ARRAY['public.messages'],
        'storage limitation: a year for reports of abuse, then the conversation goes'),
    ('calls', 'public.edge_function_calls', 'created_at', '30 days', 'delete', NULL, NULL, '{}',
        'legitimate interest: analysis of failures'),
    ('quotas', 'public.daily_usage', 'usage_date', '45 days', 'delete', NULL, NULL, '{}',
        'contract: quotas count days, and disputes come within a month'),
    ('stays', 'public.user_station_status', 'date_to', '6 months', 'delete', NULL, NULL, '{}',
        'consent: places of users are kept for a season'),
    ('payment payloads', 'public.stripe_events', 'received_at', '13 months', 'anonymise',
        '{"payload": "{}", "error_message": null}', $$status <> 'processed'$$, '{}',
        'legal obligation: disputes of payments');
