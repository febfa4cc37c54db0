-- Decisions: criteria, launch plan, checklists, evidence, waivers, freezes, tests and decisions.

-- Seeded rows can be changed but not removed. A dump holds only changed rows. On restore, such a
-- row replaces the seeded row that CREATE EXTENSION has just inserted.
CREATE TABLE crewsnow_ops.criteria (
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    category text NOT NULL,
    weight integer NOT NULL DEFAULT 0,
    is_blocker boolean NOT NULL DEFAULT true,
    gate text NOT NULL DEFAULT 'go_no_go',
    measures text[] NOT NULL DEFAULT '{evidence}',
    fresh_for interval NOT NULL DEFAULT '7 days',
    is_enabled boolean NOT NULL DEFAULT true,
    seeded boolean NOT NULL DEFAULT false,
    changed_at timestamptz,
    changed_by text,
    original jsonb,
    changed_by_users text[] NOT NULL DEFAULT '{}',
    approved_by text,
    approved_at timestamptz,
    CONSTRAINT criteria_pkey PRIMARY KEY (name),
    CONSTRAINT criteria_name_check CHECK (
        pg_catalog.char_length(name) OPERATOR(pg_catalog.>=) 1
        AND pg_catalog.char_length(name) OPERATOR(pg_catalog.<=) 100
    ),
    CONSTRAINT criteria_weight_check CHECK (
        weight OPERATOR(pg_catalog.>=) 0 AND weight OPERATOR(pg_catalog.<=) 100
    ),
    CONSTRAINT criteria_gate_check CHECK (
        gate OPERATOR(pg_catalog.=) ANY (ARRAY['go_no_go', 'launch'])
    ),
    CONSTRAINT criteria_measures_check CHECK (
        pg_catalog.cardinality(measures) OPERATOR(pg_catalog.>) 0
        AND measures OPERATOR(pg_catalog.<@) ARRAY[
            'tests', 'rls', 'webhooks', 'telemetry', 'alert-rules', 'delivery-queue',
            'open-incidents', 'recent-escalations', 'freeze', 'flags', 'error-rate', 'latency',
            'health', 'replica', 'clock', 'erasures', 'evidence'
        ]
    ),
    CONSTRAINT criteria_fresh_for_check CHECK (
        fresh_for OPERATOR(pg_catalog.>) interval '0'
        AND fresh_for OPERATOR(pg_catalog.<=) interval '1 year'
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.criteria IS
    'Requirements of a release and of the launch. A team may add its own. The weights of all '
    'enabled criteria must add up to 100; otherwise each decision is blocked.';
COMMENT ON COLUMN crewsnow_ops.criteria.name IS 'Name, 1 to 100 characters.';
COMMENT ON COLUMN crewsnow_ops.criteria.description IS 'The requirement in one sentence.';
COMMENT ON COLUMN crewsnow_ops.criteria.category IS
    'Free text for grouping; shown by explain_decision.';
COMMENT ON COLUMN crewsnow_ops.criteria.weight IS
    'Points, 0 to 100, awarded in full or not at all.';
COMMENT ON COLUMN crewsnow_ops.criteria.is_blocker IS
    'True: the criterion blocks each decision until it is met or waived. False: it causes a '
    'warning.';
COMMENT ON COLUMN crewsnow_ops.criteria.gate IS
    'go_no_go: required for both decisions. launch: required for the launch only.';
COMMENT ON COLUMN crewsnow_ops.criteria.measures IS
    'Measures, all of which must be met. tests runs the registered end-to-end tests. alert-rules, '
    'delivery-queue, open-incidents, recent-escalations and evidence need evidence from '
    'record_evidence. Each other measure queries the database.';
COMMENT ON COLUMN crewsnow_ops.criteria.fresh_for IS
    'Longest validity of evidence and of recorded test runs, at most 1 year.';
COMMENT ON COLUMN crewsnow_ops.criteria.is_enabled IS
    'False: decisions do not measure the criterion, and tell that it is switched off.';
COMMENT ON COLUMN crewsnow_ops.criteria.seeded IS
    'True for rows that the extension ships. Such a row cannot be removed; disable it with '
    'is_enabled.';
COMMENT ON COLUMN crewsnow_ops.criteria.changed_at IS
    'Time of the latest change (clock time, not transaction start). NULL if the seeded row is '
    'unchanged.';
COMMENT ON COLUMN crewsnow_ops.criteria.changed_by IS
    'Author of the latest change (session_user). NULL if the seeded row is unchanged.';
COMMENT ON COLUMN crewsnow_ops.criteria.original IS
    'The row as shipped or created, as far as decisions depend on it. NULL while it is the same.';
COMMENT ON COLUMN crewsnow_ops.criteria.changed_by_users IS
    'Authors of the changes (session_user) since the last approval, or since the original.';
COMMENT ON COLUMN crewsnow_ops.criteria.approved_by IS
    'Admin (session_user) who approved the present state, by approve_criterion. NULL without '
    'approval. A change of the row resets it.';
COMMENT ON COLUMN crewsnow_ops.criteria.approved_at IS
    'Time of the approval (clock time, not transaction start). NULL without approval.';
COMMENT ON CONSTRAINT criteria_pkey ON crewsnow_ops.criteria IS 'Names are unique.';
COMMENT ON CONSTRAINT criteria_name_check ON crewsnow_ops.criteria IS '1 to 100 characters.';
COMMENT ON CONSTRAINT criteria_weight_check ON crewsnow_ops.criteria IS '0 to 100 points.';
COMMENT ON CONSTRAINT criteria_gate_check ON crewsnow_ops.criteria IS 'go_no_go or launch.';
COMMENT ON CONSTRAINT criteria_measures_check ON crewsnow_ops.criteria IS
    'At least one measure, and only known ones.';
COMMENT ON CONSTRAINT criteria_fresh_for_check ON crewsnow_ops.criteria IS
    'Evidence expires after at most 1 year.';

INSERT INTO crewsnow_ops.criteria
    (name, description, category, weight, is_blocker, gate, measures, fresh_for, seeded)
VALUES
    ('e2e-tests', 'All registered end-to-end tests pass.',
        'tests', 25, true, 'go_no_go', '{tests}', '4 hours', true),
    ('no-rls-leak', 'The audit of row-level security, run now, finds no leak.',
        'security', 30, true, 'go_no_go', '{rls}', '4 hours', true),
    ('payments', 'Webhooks are received and processed, and the payment tests pass.',
        'payments', 25, false, 'go_no_go', '{webhooks,tests}', '4 hours', true),
    ('monitoring', 'Telemetry arrives, alert rules are evaluated, and alerts are delivered.',
        'monitoring', 20, false, 'go_no_go', '{telemetry,alert-rules,delivery-queue}', '4 hours',
        true),
    ('no-alarm', 'No alarm of this extension is active: errors, latency, health.',
        'monitoring', 0, true, 'go_no_go', '{error-rate,latency,health}', '1 hour', true),
    ('no-freeze', 'No freeze of releases is in effect.',
        'operations', 0, true, 'go_no_go', '{freeze}', '1 hour', true),
    ('current-data', 'The decision reads current data: no late standby, no step of the clock.',
        'operations', 0, true, 'go_no_go', '{replica,clock}', '1 hour', true),
    ('no-open-incident', 'No critical incident is open.',
        'incidents', 0, true, 'launch', '{open-incidents}', '1 hour', true),
    ('no-recent-escalation', 'No incident was escalated to level 3 in the last 24 hours.',
        'incidents', 0, true, 'launch', '{recent-escalations}', '1 hour', true),
    ('erasures-replayed', 'No erased person is back: after a restore the ledger was replayed.',
        'privacy', 0, true, 'launch', '{erasures}', '1 hour', true),
    ('restore-test', 'A backup was restored, and its content was verified.',
        'operations', 0, true, 'launch', '{evidence}', '8 days', true),
    ('rollback-rehearsed', 'The rollback to the previous version was rehearsed.',
        'operations', 0, true, 'launch', '{evidence}', '30 days', true),
    ('flags-as-planned', 'The feature flags match the launch plan.',
        'operations', 0, false, 'launch', '{flags}', '1 hour', true);

CREATE TABLE crewsnow_ops.launch_plan (
    flag_key text NOT NULL,
    is_enabled boolean,
    rollout_steps integer[],
    seeded boolean NOT NULL DEFAULT false,
    changed_at timestamptz,
    changed_by text,
    CONSTRAINT launch_plan_pkey PRIMARY KEY (flag_key),
    CONSTRAINT launch_plan_rollout_steps_check CHECK (
        pg_catalog.cardinality(rollout_steps) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.array_position(rollout_steps, NULL) IS NULL
        AND 0 OPERATOR(pg_catalog.<=) ALL (rollout_steps)
        AND 100 OPERATOR(pg_catalog.>=) ALL (rollout_steps)
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.launch_plan IS
    'The state that each feature flag must have at the launch. The measure flags compares it with '
    'feature_flags.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.flag_key IS 'Key of the flag in feature_flags.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.is_enabled IS 'Required state. NULL allows both.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.rollout_steps IS
    'Allowed rollout percentages while the flag is enabled. NULL allows any.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.seeded IS
    'True for rows that the extension ships. Such a row cannot be removed; set is_enabled and '
    'rollout_steps to NULL to ignore it.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.changed_at IS
    'Time of the latest change (clock time, not transaction start). NULL if the seeded row is '
    'unchanged.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.changed_by IS
    'Author of the latest change (session_user). NULL if the seeded row is unchanged.';
COMMENT ON CONSTRAINT launch_plan_pkey ON crewsnow_ops.launch_plan IS 'Each flag has one plan.';
COMMENT ON CONSTRAINT launch_plan_rollout_steps_check ON crewsnow_ops.launch_plan IS
    'At least one percentage, each 0 to 100.';

CREATE VIEW crewsnow_ops.flags_off_plan AS
SELECT o.flag_key, o.deviation, o.command
FROM (
    SELECT
        p.flag_key,
        CASE
            WHEN f.flag_key IS NULL THEN 'does not exist'
            WHEN p.is_enabled IS NOT NULL AND f.is_enabled OPERATOR(pg_catalog.<>) p.is_enabled
                THEN CASE WHEN p.is_enabled THEN 'is disabled' ELSE 'is enabled' END
            WHEN f.is_enabled AND f.rollout_percentage OPERATOR(pg_catalog.<>) ALL (p.rollout_steps)
                THEN pg_catalog.format('is at %s %%', f.rollout_percentage)
            WHEN p.is_enabled AND p.rollout_steps IS NULL
                AND f.rollout_percentage OPERATOR(pg_catalog.=) 0
                THEN 'is at 0 %'
            -- A user without a row in user_context meets no targeting condition. Rows are read as
            -- JSON: a view that named these columns would forbid other types for them.
            WHEN f.is_enabled AND f.rollout_percentage OPERATOR(pg_catalog.>) 0
                AND t.target_user_ids OPERATOR(pg_catalog.=) '[]'::pg_catalog.jsonb
                AND (
                    t.target_premium_only OPERATOR(pg_catalog.=) 'true'::pg_catalog.jsonb
                    OR t.target_regions OPERATOR(pg_catalog.<>) '[]'::pg_catalog.jsonb
                    OR t.target_segments OPERATOR(pg_catalog.<>) '[]'::pg_catalog.jsonb
                )
                AND NOT EXISTS (
                    SELECT FROM crewsnow_ops.user_context AS c
                    CROSS JOIN LATERAL pg_catalog.to_jsonb(c) AS u (fields)
                    WHERE (
                            t.target_premium_only
                                OPERATOR(pg_catalog.=) 'false'::pg_catalog.jsonb
                            OR u.fields OPERATOR(pg_catalog.->) 'is_premium'
                                OPERATOR(pg_catalog.=) 'true'::pg_catalog.jsonb
                        )
                        AND (
                            t.target_regions OPERATOR(pg_catalog.=) '[]'::pg_catalog.jsonb
                            OR t.target_regions OPERATOR(pg_catalog.@>)
                                (u.fields OPERATOR(pg_catalog.->) 'region')
                        )
                        AND (
                            t.target_segments OPERATOR(pg_catalog.=) '[]'::pg_catalog.jsonb
                            OR (u.fields OPERATOR(pg_catalog.->) 'segments')
                                OPERATOR(pg_catalog.?|) t.segments
                        )
                )
                THEN 'targets nobody: no row of crewsnow_ops.user_context meets its conditions'
        END AS deviation,
        CASE
            WHEN f.is_enabled AND (p.is_enabled OR p.is_enabled IS NULL)
                AND COALESCE(
                    f.rollout_percentage OPERATOR(pg_catalog.=) ANY (p.rollout_steps),
                    f.rollout_percentage OPERATOR(pg_catalog.>) 0
                )
            THEN pg_catalog.format(
                'SELECT target_premium_only, target_regions, target_segments FROM %I.feature_flags '
                'WHERE flag_key = %L;',
                n.nspname, p.flag_key
            )
            WHEN p.is_enabled OR (p.is_enabled IS NULL AND f.is_enabled)
            THEN pg_catalog.format(
                'SELECT %I.update_feature_flag(%L, true, %s);', n.nspname, p.flag_key,
                COALESCE(
                    (
                        SELECT pg_catalog.max(s.step)
                        FROM pg_catalog.unnest(p.rollout_steps) AS s (step)
                        WHERE s.step OPERATOR(pg_catalog.<=) f.rollout_percentage
                    ),
                    (
                        SELECT pg_catalog.max(s.step)
                        FROM pg_catalog.unnest(p.rollout_steps) AS s (step)
                    ),
                    100
                )
            )
            ELSE pg_catalog.format(
                'SELECT %I.update_feature_flag(%L, false);', n.nspname, p.flag_key
            )
        END AS command
    FROM crewsnow_ops.launch_plan AS p
    LEFT JOIN @extschema@.feature_flags AS f ON f.flag_key OPERATOR(pg_catalog.=) p.flag_key
    CROSS JOIN LATERAL (
        SELECT j.flag OPERATOR(pg_catalog.->) 'target_user_ids',
            j.flag OPERATOR(pg_catalog.->) 'target_premium_only',
            j.flag OPERATOR(pg_catalog.->) 'target_regions',
            j.flag OPERATOR(pg_catalog.->) 'target_segments',
            CASE
                WHEN pg_catalog.jsonb_typeof(j.flag OPERATOR(pg_catalog.->) 'target_segments')
                    OPERATOR(pg_catalog.=) 'array'
                THEN ARRAY(
                    SELECT e.segment
                    FROM pg_catalog.jsonb_array_elements_text(
                        j.flag OPERATOR(pg_catalog.->) 'target_segments') AS e (segment)
                )
            END
        FROM pg_catalog.to_jsonb(f) AS j (flag)
    ) AS t (target_user_ids, target_premium_only, target_regions, target_segments, segments)
    CROSS JOIN (
        SELECT c.relnamespace FROM pg_catalog.pg_class AS c
        WHERE c.oid OPERATOR(pg_catalog.=) '@extschema@.feature_flags'::pg_catalog.regclass
    ) AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE p.is_enabled IS NOT NULL OR p.rollout_steps IS NOT NULL
) AS o
WHERE o.deviation IS NOT NULL;
COMMENT ON VIEW crewsnow_ops.flags_off_plan IS
    'Feature flags that differ from crewsnow_ops.launch_plan. Empty if all match.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.flag_key IS 'Key of the flag.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.deviation IS
    'The difference: does not exist, is disabled, is enabled, its rollout percentage, or a '
    'targeting that no user meets.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.command IS
    'The call of update_feature_flag that restores the planned state, or a query of the targeting '
    'that no user meets.';

INSERT INTO crewsnow_ops.launch_plan (flag_key, is_enabled, rollout_steps, seeded) VALUES
    ('user_registration', true, '{100}', true),
    ('basic_matching', true, '{100}', true),
    ('messaging', true, '{100}', true),
    ('premium_subscriptions', true, '{100}', true),
    ('boost_station', true, '{100}', true),
    ('tracker_pro', NULL, '{0,25,50,100}', true),
    ('advanced_filters', NULL, '{0,25,100}', true),
    ('collaborative_filtering_v2', NULL, NULL, true),
    ('ai_moderation_auto', false, NULL, true),
    ('voice_messages', false, NULL, true),
    ('group_matching', false, NULL, true),
    ('maintenance_mode', false, NULL, true),
    ('payments_maintenance_mode', false, NULL, true);

CREATE TABLE crewsnow_ops.checklist_items (
    checklist text NOT NULL,
    item text NOT NULL,
    phase text NOT NULL DEFAULT '',
    due_within interval,
    position integer NOT NULL,
    task text NOT NULL,
    command text,
    seeded boolean NOT NULL DEFAULT false,
    CONSTRAINT checklist_items_pkey PRIMARY KEY (checklist, item)
) USING heap;
COMMENT ON TABLE crewsnow_ops.checklist_items IS
    'Checklists for incidents and reviews. A team may add items and lists. Item names do not '
    'change, so incidents can refer to them.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.checklist IS
    'Name of the checklist, such as post-incident.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.item IS 'Name of the item, unique in its checklist.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.phase IS
    'Group of items within the checklist; may be empty.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.due_within IS
    'Deadline after the occasion. NULL if there is none.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.position IS 'Order within the checklist.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.task IS 'The task, or the condition to confirm.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.command IS
    'SQL that shows or performs the task. NULL if there is none.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.seeded IS
    'True for rows that the extension ships. Such rows cannot be changed or removed.';
COMMENT ON CONSTRAINT checklist_items_pkey ON crewsnow_ops.checklist_items IS
    'Item names are unique in a checklist.';

INSERT INTO crewsnow_ops.checklist_items VALUES
    ('post-incident', 'contained', 'immediate', '2 hours', 1,
        'The incident is contained: it no longer spreads.',
        'SELECT * FROM crewsnow_ops.dashboard;', true),
    ('post-incident', 'restored', 'immediate', '2 hours', 2,
        'All functions work again, and all disabled flags are restored.',
        'SELECT * FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 20;', true),
    ('post-incident', 'stable', 'immediate', '2 hours', 3,
        'Monitoring has shown no further alert.',
        'SELECT * FROM @extschema@.performance_health_check() WHERE status <> ''OK'';', true),
    ('post-incident', 'users-told', 'immediate', '2 hours', 4,
        'Users know that the incident is over.',
        NULL, true),
    ('post-incident', 'root-cause', '24 hours', '1 day', 5,
        'The root cause is known, not only the trigger.',
        NULL, true),
    ('post-incident', 'fix-validated', '24 hours', '1 day', 6,
        'The remediation was tested in staging.',
        'SELECT * FROM crewsnow_ops.run_e2e_tests();', true),
    ('post-incident', 'documented', '24 hours', '1 day', 7,
        'Documentation and runbook contain the lessons.',
        NULL, true),
    ('post-incident', 'prevention', '24 hours', '1 day', 8,
        'A preventive measure is identified and has an owner.',
        NULL, true),
    ('post-incident', 'review', '1 week', '7 days', 9,
        'All participants have held a blameless review.',
        NULL, true),
    ('post-incident', 'process', '1 week', '7 days', 10,
        'Faults of the process are corrected.',
        NULL, true),
    ('post-incident', 'monitoring', '1 week', '7 days', 11,
        'Monitoring would detect such an incident earlier.',
        NULL, true),
    ('post-incident', 'training', '1 week', '7 days', 12,
        'Responders who need training for the next incident have received it.',
        NULL, true),
    ('feature-flag-review', 'untouched', 'weekly', '7 days', 1,
        'Flags without a change for a week are still correct and still needed.',
        'SELECT * FROM @extschema@.feature_flags '
        'WHERE updated_at < now() - interval ''7 days'';', true),
    ('feature-flag-review', 'stuck-rollouts', 'weekly', '7 days', 2,
        'Partial rollouts continue or are taken back.',
        'SELECT flag_key, rollout_percentage, updated_at FROM @extschema@.feature_flags '
        'WHERE is_enabled AND rollout_percentage BETWEEN 1 AND 99 ORDER BY updated_at;', true),
    ('feature-flag-review', 'invisible', 'weekly', '7 days', 3,
        'No flag is enabled at 0 %.',
        'SELECT flag_key, updated_at FROM @extschema@.feature_flags '
        'WHERE is_enabled AND rollout_percentage = 0;', true),
    ('feature-flag-review', 'left-over', 'weekly', '7 days', 4,
        'No maintenance flag was left enabled.',
        'SELECT flag_key, updated_at FROM @extschema@.feature_flags '
        'WHERE feature_category = ''maintenance'' AND is_enabled;', true),
    ('feature-flag-review', 'as-planned', 'weekly', '7 days', 5,
        'All flags match the launch plan.',
        'SELECT * FROM crewsnow_ops.flags_off_plan;', true);

CREATE TABLE crewsnow_ops.evidence (
    id uuid NOT NULL,
    criterion text NOT NULL,
    passed boolean NOT NULL,
    source text NOT NULL,
    release text,
    details jsonb NOT NULL,
    recorded_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    recorded_by text NOT NULL,
    sequence_number bigint GENERATED ALWAYS AS IDENTITY,
    is_typed boolean NOT NULL DEFAULT false,
    CONSTRAINT evidence_pkey PRIMARY KEY (id),
    CONSTRAINT evidence_source_check CHECK (
        source OPERATOR(pg_catalog.=) ANY (ARRAY['recorded', 'tests'])
    )
) USING heap;
CREATE INDEX evidence_criterion_idx ON crewsnow_ops.evidence (criterion, sequence_number);
COMMENT ON TABLE crewsnow_ops.evidence IS
    'Evidence for and against criteria: recorded by callers, and left by the test runs of '
    'decisions.';
COMMENT ON COLUMN crewsnow_ops.evidence.id IS 'Id that record_evidence returned.';
COMMENT ON COLUMN crewsnow_ops.evidence.criterion IS 'Name of the criterion; no foreign key.';
COMMENT ON COLUMN crewsnow_ops.evidence.passed IS
    'True: evidence that the criterion is met. False: evidence that it is not.';
COMMENT ON COLUMN crewsnow_ops.evidence.source IS
    'recorded: by record_evidence, kept for ever. tests: by a decision that ran the registered '
    'tests, kept for 90 days.';
COMMENT ON COLUMN crewsnow_ops.evidence.release IS
    'The release that it applies to. NULL applies to each release.';
COMMENT ON COLUMN crewsnow_ops.evidence.details IS
    'Any JSON object. For tests: steps, times in milliseconds and errors.';
COMMENT ON COLUMN crewsnow_ops.evidence.recorded_at IS
    'Time of the record (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.evidence.valid_until IS
    'End of validity of passing evidence. A shortened fresh_for of the criterion ends it earlier. '
    'Failing evidence does not expire.';
COMMENT ON COLUMN crewsnow_ops.evidence.recorded_by IS 'Author (session_user).';
COMMENT ON COLUMN crewsnow_ops.evidence.sequence_number IS
    'Order of the records. The clock may run backwards; this number does not.';
COMMENT ON COLUMN crewsnow_ops.evidence.is_typed IS
    'Whether the author typed the call of record_evidence. Evidence that a function, view or '
    'trigger recorded does not answer failing evidence.';
COMMENT ON CONSTRAINT evidence_pkey ON crewsnow_ops.evidence IS 'Ids are unique.';
COMMENT ON CONSTRAINT evidence_source_check ON crewsnow_ops.evidence IS 'recorded or tests.';
COMMENT ON INDEX crewsnow_ops.evidence_criterion_idx IS 'Finds the latest evidence of a criterion.';

CREATE TABLE crewsnow_ops.waivers (
    id uuid NOT NULL,
    criterion text NOT NULL,
    release text,
    reason text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    approved_by text,
    approved_at timestamptz,
    revoked_by text,
    revoked_at timestamptz,
    sequence_number bigint GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT waivers_pkey PRIMARY KEY (id),
    CONSTRAINT waivers_approved_by_check CHECK (approved_by OPERATOR(pg_catalog.<>) requested_by),
    CONSTRAINT waivers_reason_check CHECK (
        reason OPERATOR(pg_catalog.<>) '' AND pg_catalog.isfinite(expires_at)
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.waivers IS
    'Temporary exceptions for criteria. A waiver of a blocker needs approval by another user. '
    'Decisions show the latest waiver that is not revoked.';
COMMENT ON COLUMN crewsnow_ops.waivers.id IS 'Id that waive_criterion returned.';
COMMENT ON COLUMN crewsnow_ops.waivers.criterion IS 'Name of the criterion; no foreign key.';
COMMENT ON COLUMN crewsnow_ops.waivers.release IS
    'The release that it applies to. NULL applies to each release.';
COMMENT ON COLUMN crewsnow_ops.waivers.reason IS 'Reason; decisions show it.';
COMMENT ON COLUMN crewsnow_ops.waivers.requested_by IS 'Requester (session_user).';
COMMENT ON COLUMN crewsnow_ops.waivers.requested_at IS
    'Time of the request (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.waivers.expires_at IS
    'End of validity, exclusive; at most 30 days after the request.';
COMMENT ON COLUMN crewsnow_ops.waivers.approved_by IS
    'Approver (session_user), not the requester. NULL without approval.';
COMMENT ON COLUMN crewsnow_ops.waivers.approved_at IS
    'Time of the approval (clock time, not transaction start). NULL without approval.';
COMMENT ON COLUMN crewsnow_ops.waivers.revoked_by IS
    'User who revoked it (session_user). NULL unless revoked.';
COMMENT ON COLUMN crewsnow_ops.waivers.revoked_at IS
    'Time of the revocation (clock time, not transaction start). NULL unless revoked.';
COMMENT ON COLUMN crewsnow_ops.waivers.sequence_number IS
    'Order of the requests. The clock may run backwards; this number does not.';
COMMENT ON CONSTRAINT waivers_pkey ON crewsnow_ops.waivers IS 'Ids are unique.';
COMMENT ON CONSTRAINT waivers_approved_by_check ON crewsnow_ops.waivers IS
    'Requester and approver are different users.';
COMMENT ON CONSTRAINT waivers_reason_check ON crewsnow_ops.waivers IS
    'Requires a reason and a finite expiry.';

CREATE TABLE crewsnow_ops.freezes (
    id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT freezes_pkey PRIMARY KEY (id),
    CONSTRAINT freezes_check CHECK (
        reason OPERATOR(pg_catalog.<>) ''
        AND pg_catalog.isfinite(starts_at) AND pg_catalog.isfinite(ends_at)
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.freezes IS
    'Periods without releases and launches. While one is in effect, the measure freeze fails.';
COMMENT ON COLUMN crewsnow_ops.freezes.id IS 'Id that freeze_releases returned.';
COMMENT ON COLUMN crewsnow_ops.freezes.starts_at IS 'Start, inclusive.';
COMMENT ON COLUMN crewsnow_ops.freezes.ends_at IS
    'End, exclusive. end_freeze sets it to the present time.';
COMMENT ON COLUMN crewsnow_ops.freezes.reason IS 'Reason; decisions show it.';
COMMENT ON COLUMN crewsnow_ops.freezes.created_by IS 'Author (session_user).';
COMMENT ON CONSTRAINT freezes_pkey ON crewsnow_ops.freezes IS 'Ids are unique.';
COMMENT ON CONSTRAINT freezes_check ON crewsnow_ops.freezes IS
    'Requires a reason and finite times.';

-- The function is text because pg_upgrade refuses columns of type regprocedure.
CREATE TABLE crewsnow_ops.e2e_tests (
    name text NOT NULL,
    criterion text NOT NULL,
    function text NOT NULL,
    role text NOT NULL,
    claims jsonb NOT NULL,
    time_limit interval NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT e2e_tests_pkey PRIMARY KEY (name)
) USING heap;
COMMENT ON TABLE crewsnow_ops.e2e_tests IS
    'End-to-end tests. Decisions run them and roll them back.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.name IS 'Name, unique.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.criterion IS
    'Name of the criterion, whose measures contain tests; no foreign key.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.function IS
    'Qualified name of the function, without arguments.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.role IS
    'Role that the test runs as. A plan may name other roles for its steps.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.claims IS 'JWT claims of the request, a JSON object.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.time_limit IS
    'Longest run time, 1 ms to 10 minutes. The test fails when it is exceeded.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.registered_by IS
    'Author (session_user). Must be a member of each role that the test runs as.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.registered_at IS
    'Time of the latest registration (clock time, not transaction start).';
COMMENT ON CONSTRAINT e2e_tests_pkey ON crewsnow_ops.e2e_tests IS 'Names are unique.';

CREATE TABLE crewsnow_ops.decisions (
    id uuid NOT NULL,
    gate text NOT NULL,
    release text,
    decision text NOT NULL,
    is_go boolean NOT NULL,
    readiness_score integer NOT NULL,
    blockers integer NOT NULL,
    warnings integer NOT NULL,
    reasons text[] NOT NULL,
    next_actions text[] NOT NULL,
    inputs jsonb NOT NULL,
    decided_at timestamptz NOT NULL,
    decided_by text NOT NULL,
    valid_until timestamptz NOT NULL,
    sequence_number bigint GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT decisions_pkey PRIMARY KEY (id)
) USING heap;
CREATE INDEX decisions_decided_at_idx ON crewsnow_ops.decisions (decided_at);
CREATE INDEX decisions_sequence_number_idx ON crewsnow_ops.decisions (sequence_number);
COMMENT ON TABLE crewsnow_ops.decisions IS
    'All decisions with their inputs. Append-only: UPDATE, DELETE and TRUNCATE fail with 42501.';
COMMENT ON COLUMN crewsnow_ops.decisions.id IS 'Id that the decision returned in decision_id.';
COMMENT ON COLUMN crewsnow_ops.decisions.gate IS 'go_no_go or launch.';
COMMENT ON COLUMN crewsnow_ops.decisions.release IS
    'The release that the caller named; NULL without one.';
COMMENT ON COLUMN crewsnow_ops.decisions.decision IS
    'The word that make_go_no_go_decision or make_launch_decision returned.';
COMMENT ON COLUMN crewsnow_ops.decisions.is_go IS 'True for GO and READY FOR LAUNCH only.';
COMMENT ON COLUMN crewsnow_ops.decisions.readiness_score IS
    'Sum of the weights of met criteria, 0 to 100.';
COMMENT ON COLUMN crewsnow_ops.decisions.blockers IS
    'Number of blockers that were neither met nor waived, or weakened by one user alone, plus '
    'faults of the criteria.';
COMMENT ON COLUMN crewsnow_ops.decisions.warnings IS
    'Number of other unmet criteria, waived blockers, exceptions and altered criteria.';
COMMENT ON COLUMN crewsnow_ops.decisions.reasons IS
    'One line for each blocker, waiver, warning and note, blockers first.';
COMMENT ON COLUMN crewsnow_ops.decisions.next_actions IS
    'Commands to run next, the most urgent first.';
COMMENT ON COLUMN crewsnow_ops.decisions.inputs IS
    'The snapshot that was decided on: criteria, measurements, evidence and waivers.';
COMMENT ON COLUMN crewsnow_ops.decisions.decided_at IS
    'Time after the last measurement (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.decisions.decided_by IS 'Caller (session_user).';
COMMENT ON COLUMN crewsnow_ops.decisions.valid_until IS
    'End of validity: four hours later, or earlier if an input expires or a freeze begins.';
COMMENT ON COLUMN crewsnow_ops.decisions.sequence_number IS
    'Order of the decisions. The clock may run backwards; this number does not.';
COMMENT ON CONSTRAINT decisions_pkey ON crewsnow_ops.decisions IS 'Ids are unique.';
COMMENT ON INDEX crewsnow_ops.decisions_decided_at_idx IS 'Finds the decisions of a time.';
COMMENT ON INDEX crewsnow_ops.decisions_sequence_number_idx IS 'Finds the latest decision.';
COMMENT ON SEQUENCE crewsnow_ops.evidence_sequence_number_seq IS
    'Numbers crewsnow_ops.evidence.';
COMMENT ON SEQUENCE crewsnow_ops.waivers_sequence_number_seq IS 'Numbers crewsnow_ops.waivers.';
COMMENT ON SEQUENCE crewsnow_ops.decisions_sequence_number_seq IS
    'Numbers crewsnow_ops.decisions.';

SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.criteria', 'WHERE changed_at IS NOT NULL');
SELECT pg_catalog.pg_extension_config_dump(
    'crewsnow_ops.launch_plan', 'WHERE changed_at IS NOT NULL'
);
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.checklist_items', 'WHERE NOT seeded');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.evidence', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.waivers', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.freezes', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.e2e_tests', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.decisions', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.evidence_sequence_number_seq', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.waivers_sequence_number_seq', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.decisions_sequence_number_seq', '');

CREATE FUNCTION crewsnow_ops.seeded_rows_stay() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'seeded_rows_stay_wrapper';
COMMENT ON FUNCTION crewsnow_ops.seeded_rows_stay() IS
    'Trigger: stamps changed_at and changed_by, and lets a restored row replace the seeded one. '
    'Error: 0A000 on removing a seeded row.';
CREATE FUNCTION crewsnow_ops.decisions_are_final() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'decisions_are_final_wrapper';
COMMENT ON FUNCTION crewsnow_ops.decisions_are_final() IS
    'Trigger: keeps crewsnow_ops.decisions append-only. Error: 42501 on each change.';
REVOKE ALL ON FUNCTION crewsnow_ops.seeded_rows_stay(), crewsnow_ops.decisions_are_final()
    FROM PUBLIC;

CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.criteria
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.criteria IS
    'Protects seeded rows; see the function.';
CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.launch_plan
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.launch_plan IS
    'Protects seeded rows; see the function.';
CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.checklist_items
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.checklist_items IS
    'Protects seeded rows; see the function.';
CREATE TRIGGER decisions_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON crewsnow_ops.decisions
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.decisions_are_final();
COMMENT ON TRIGGER decisions_are_final ON crewsnow_ops.decisions IS
    'Append-only, for the owner too.';
ALTER TABLE crewsnow_ops.criteria ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.launch_plan ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.checklist_items ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.decisions ENABLE ALWAYS TRIGGER decisions_are_final;
