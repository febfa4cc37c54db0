-- The launch flags. Their ids are fixed, so that the rows of a dump match them in a fresh database.
INSERT INTO crewsnow_ops.launch_flags
    (id, flag_key, flag_name, description, is_enabled, rollout_percentage, target_user_ids,
        target_premium_only,
     target_regions, module_name, feature_category, created_by, created_at, updated_at,
         target_segments, rollout_group)
SELECT
    v.id::pg_catalog.uuid, v.flag_key, v.flag_name, v.description, v.is_enabled,
        v.rollout_percentage, '{}', v.target_premium_only,
    '{}', v.module_name, v.feature_category, 'crewsnow_ops', pg_catalog.now(), pg_catalog.now(),
        v.target_segments::pg_catalog.text[], v.flag_key
FROM (VALUES
    ('49bdede4-4109-5751-a3c2-d0e725a0baef', 'user_registration', 'User registration',
        'New accounts can be opened.', true, 100, false, '{}', 'auth', 'core'),
    ('b5a16f9a-122c-5a0f-b272-4fdb7050ebfb', 'basic_matching', 'Basic matching',
        'The core matching algorithm.', true, 100, false, '{}', 'matching', 'core'),
    ('9319bfdf-db3e-5967-8f55-afb610f50c58', 'messaging', 'Messaging',
        'Real-time chat between matches.', true, 100, false, '{}', 'messaging', 'core'),
    ('876177b5-e87a-5222-bd58-2037565b060f', 'premium_subscriptions', 'Premium subscriptions',
        'Subscriptions can be bought and renewed.', true, 100, false, '{}', 'payments', 'premium'),
    ('7e381929-1b44-5b96-b1de-48dcec2ec46f', 'boost_station', 'Station boosts',
        'Simple boosts at a station.', true, 100, false, '{}', 'boosts', 'premium'),
    ('d05c6741-2ab5-5190-8726-0760c453efee', 'tracker_pro', 'Tracker Pro',
        'Ride tracking. Plan: 25 %, 50 %, 100 %, each after monitoring.', false, 0, false, '{}',
        'tracker', 'premium'),
    ('968c3f94-82a0-5e04-a98e-3ea3997c2ac6', 'advanced_filters', 'Advanced filters',
        'Search filters for premium users. Plan: 25 %, then 100 % of premium users.', false, 0,
        true, '{}', 'matching', 'premium'),
    ('a592e5e1-81d1-58e2-9c09-1bff42d78144', 'collaborative_filtering_v2',
        'Collaborative filtering v2',
        'Recommendations from similar users. Plan: segment beta, then premium, then everybody.',
        false, 0, false, '{beta}', 'matching', 'experimental'),
    ('a039a0de-0203-53b2-a102-94cbad1730df', 'ai_moderation_auto', 'Automatic AI moderation',
        'Moderation acts by itself; people do it first.', false, 0, false, '{}', 'moderation',
        'experimental'),
    ('5516545f-0138-57b9-8802-bccefc940a6e', 'voice_messages', 'Voice messages',
        'Voice messages in chats; in beta.', false, 0, false, '{}', 'messaging', 'beta'),
    ('69d3b248-0bfb-5673-861a-93af738b0274', 'group_matching', 'Group matching',
        'Matching between groups; later.', false, 0, false, '{}', 'matching', 'beta'),
    ('1cdd0b59-47c1-5eb2-803e-f28a4536b8a7', 'maintenance_mode', 'Maintenance mode',
        'Switch: the application tells users that it is under maintenance.', false, 100, false,
        '{}', 'platform', 'maintenance'),
    ('641c46cf-4682-5995-aabf-d2899ffd44a6', 'payments_maintenance_mode',
        'Payments maintenance mode',
        'Switch: the application tells users that payments are under maintenance.', false, 100,
        false, '{}', 'payments', 'maintenance')
) AS v (id, flag_key, flag_name, description, is_enabled, rollout_percentage, target_premium_only,
    target_segments, module_name, feature_category);

INSERT INTO @extschema@.feature_flags SELECT * FROM crewsnow_ops.launch_flags;
