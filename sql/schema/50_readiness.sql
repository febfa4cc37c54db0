-- Decisions: what must be met, what speaks for it, what was decided.

-- Must-haves. Rows that this script makes can be changed but not removed: a dump has only changed ones, and a restored one takes the place of
-- the one that CREATE EXTENSION has just made.
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
    CONSTRAINT criteria_pkey PRIMARY KEY (name),
    CONSTRAINT criteria_name_check CHECK (pg_catalog.char_length(name) OPERATOR(pg_catalog.>=) 1 AND pg_catalog.char_length(name) OPERATOR(pg_catalog.<=) 100),
    CONSTRAINT criteria_weight_check CHECK (weight OPERATOR(pg_catalog.>=) 0 AND weight OPERATOR(pg_catalog.<=) 100),
    CONSTRAINT criteria_gate_check CHECK (gate OPERATOR(pg_catalog.=) ANY (ARRAY['go_no_go', 'launch'])),
    CONSTRAINT criteria_measures_check CHECK (
        pg_catalog.cardinality(measures) OPERATOR(pg_catalog.>) 0
        AND measures OPERATOR(pg_catalog.<@) ARRAY[
            'tests', 'rls', 'webhooks', 'telemetry', 'alert-rules', 'delivery-queue', 'open-incidents', 'recent-escalations', 'freeze', 'flags', 'evidence'
        ]
    ),
    CONSTRAINT criteria_fresh_for_check CHECK (
        fresh_for OPERATOR(pg_catalog.>) interval '0' AND fresh_for OPERATOR(pg_catalog.<=) interval '1 year'
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.criteria IS 'What a release, and a launch, must meet. The weights of the enabled ones of go_no_go add up to 100, and launch adds none.';
COMMENT ON COLUMN crewsnow_ops.criteria.name IS 'Its name, 1 to 100 characters.';
COMMENT ON COLUMN crewsnow_ops.criteria.description IS 'What it asks for.';
COMMENT ON COLUMN crewsnow_ops.criteria.category IS 'What it is about.';
COMMENT ON COLUMN crewsnow_ops.criteria.weight IS 'Points of 100, all or none.';
COMMENT ON COLUMN crewsnow_ops.criteria.is_blocker IS 'Whether nothing goes out without it.';
COMMENT ON COLUMN crewsnow_ops.criteria.gate IS 'go_no_go: for both decisions. launch: for the launch alone.';
COMMENT ON COLUMN crewsnow_ops.criteria.measures IS 'How it is measured; all must be met. tests: those registered for it. evidence: what record_evidence has. The rest looks at the system itself.';
COMMENT ON COLUMN crewsnow_ops.criteria.fresh_for IS 'How long evidence counts.';
COMMENT ON COLUMN crewsnow_ops.criteria.is_enabled IS 'Whether it counts at all.';
COMMENT ON COLUMN crewsnow_ops.criteria.seeded IS 'Whether it came with the extension. Such rows can be changed, not removed.';
COMMENT ON COLUMN crewsnow_ops.criteria.changed_at IS 'When it was last changed; NULL as it came with the extension.';
COMMENT ON COLUMN crewsnow_ops.criteria.changed_by IS 'By whom (session_user).';
COMMENT ON CONSTRAINT criteria_pkey ON crewsnow_ops.criteria IS 'A criterion has one row.';
COMMENT ON CONSTRAINT criteria_name_check ON crewsnow_ops.criteria IS 'Names that can be typed.';
COMMENT ON CONSTRAINT criteria_weight_check ON crewsnow_ops.criteria IS 'Points of 100.';
COMMENT ON CONSTRAINT criteria_gate_check ON crewsnow_ops.criteria IS 'The two decisions.';
COMMENT ON CONSTRAINT criteria_measures_check ON crewsnow_ops.criteria IS 'What can be measured.';
COMMENT ON CONSTRAINT criteria_fresh_for_check ON crewsnow_ops.criteria IS 'Nothing is fresh for ever.';

INSERT INTO crewsnow_ops.criteria (name, description, category, weight, is_blocker, gate, measures, fresh_for, seeded) VALUES
    ('e2e-tests', 'All registered end-to-end tests pass.', 'tests', 25, true, 'go_no_go', '{tests}', '4 hours', true),
    ('no-rls-leak', 'An audit of row-level security, made now, finds no leak.', 'security', 30, true, 'go_no_go', '{rls}', '4 hours', true),
    ('payments', 'Webhooks arrive and are processed, and the tests of payments pass.', 'payments', 25, false, 'go_no_go', '{webhooks,tests}', '4 hours', true),
    ('monitoring', 'Telemetry flows, alert rules are evaluated, and what they say is delivered.', 'monitoring', 20, false, 'go_no_go', '{telemetry,alert-rules,delivery-queue}', '4 hours', true),
    ('no-open-incident', 'No critical incident is open.', 'incidents', 0, true, 'launch', '{open-incidents}', '1 hour', true),
    ('no-recent-escalation', 'Nothing was escalated to level 3 in the last 24 hours.', 'incidents', 0, true, 'launch', '{recent-escalations}', '1 hour', true),
    ('no-freeze', 'No freeze of releases is on.', 'operations', 0, true, 'launch', '{freeze}', '1 hour', true),
    ('restore-test', 'A backup was restored and looked at.', 'operations', 0, true, 'launch', '{evidence}', '8 days', true),
    ('rollback-rehearsed', 'Going back to the version before was tried.', 'operations', 0, true, 'launch', '{evidence}', '30 days', true),
    ('flags-as-planned', 'Feature flags stand as the launch plan has them.', 'operations', 0, false, 'launch', '{flags}', '1 hour', true);

CREATE TABLE crewsnow_ops.launch_plan (
    flag_key text NOT NULL,
    is_enabled boolean,
    rollout_steps integer[],
    seeded boolean NOT NULL DEFAULT false,
    changed_at timestamptz,
    changed_by text,
    CONSTRAINT launch_plan_pkey PRIMARY KEY (flag_key),
    CONSTRAINT launch_plan_rollout_steps_check CHECK (
        pg_catalog.cardinality(rollout_steps) OPERATOR(pg_catalog.>) 0 AND pg_catalog.array_position(rollout_steps, NULL) IS NULL
        AND 0 OPERATOR(pg_catalog.<=) ALL (rollout_steps) AND 100 OPERATOR(pg_catalog.>=) ALL (rollout_steps)
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.launch_plan IS 'How feature flags are to stand at the launch.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.flag_key IS 'The flag.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.is_enabled IS 'Whether it is to be enabled; NULL for either.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.rollout_steps IS 'At which percentages it may stand while it is enabled; NULL for any.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.seeded IS 'Whether it came with the extension. Such rows can be changed, not removed.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.changed_at IS 'When it was last changed; NULL as it came with the extension.';
COMMENT ON COLUMN crewsnow_ops.launch_plan.changed_by IS 'By whom (session_user).';
COMMENT ON CONSTRAINT launch_plan_pkey ON crewsnow_ops.launch_plan IS 'A flag has one plan.';
COMMENT ON CONSTRAINT launch_plan_rollout_steps_check ON crewsnow_ops.launch_plan IS 'Percentages, at least one.';

CREATE VIEW crewsnow_ops.flags_off_plan AS
SELECT o.flag_key, o.deviation, o.command
FROM (
    SELECT
        p.flag_key,
        CASE
            WHEN f.flag_key IS NULL THEN 'does not exist'
            WHEN p.is_enabled IS NOT NULL AND f.is_enabled OPERATOR(pg_catalog.<>) p.is_enabled THEN CASE WHEN p.is_enabled THEN 'is disabled' ELSE 'is enabled' END
            WHEN f.is_enabled AND f.rollout_percentage OPERATOR(pg_catalog.<>) ALL (p.rollout_steps) THEN pg_catalog.format('stands at %s %%', f.rollout_percentage)
        END AS deviation,
        CASE WHEN p.is_enabled OR (p.is_enabled IS NULL AND f.is_enabled)
            THEN pg_catalog.format('SELECT %I.update_feature_flag(%L, true, %s);', n.nspname, p.flag_key, COALESCE(
                (SELECT pg_catalog.max(s.step) FROM pg_catalog.unnest(p.rollout_steps) AS s (step) WHERE s.step OPERATOR(pg_catalog.<=) f.rollout_percentage),
                (SELECT pg_catalog.max(s.step) FROM pg_catalog.unnest(p.rollout_steps) AS s (step)), 100))
            ELSE pg_catalog.format('SELECT %I.update_feature_flag(%L, false);', n.nspname, p.flag_key)
        END AS command
    FROM crewsnow_ops.launch_plan AS p
    LEFT JOIN @extschema@.feature_flags AS f ON f.flag_key OPERATOR(pg_catalog.=) p.flag_key
    CROSS JOIN (SELECT c.relnamespace FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) '@extschema@.feature_flags'::pg_catalog.regclass) AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE p.is_enabled IS NOT NULL OR p.rollout_steps IS NOT NULL
) AS o
WHERE o.deviation IS NOT NULL;
COMMENT ON VIEW crewsnow_ops.flags_off_plan IS 'Feature flags that do not stand as the launch plan has them.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.flag_key IS 'The flag.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.deviation IS 'What is not as planned.';
COMMENT ON COLUMN crewsnow_ops.flags_off_plan.command IS 'What puts it right.';

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
COMMENT ON TABLE crewsnow_ops.checklist_items IS 'What people go through after an incident and at reviews. An item keeps its name, so that others can refer to it.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.checklist IS 'The list.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.item IS 'The item''s name, for references.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.phase IS 'A part of the list.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.due_within IS 'How long after its occasion it should be done; NULL if that does not matter.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.position IS 'The order.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.task IS 'What is to be done, or to be true.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.command IS 'What shows it, or does it.';
COMMENT ON COLUMN crewsnow_ops.checklist_items.seeded IS 'Whether it came with the extension. Such rows stay as they are; lists can get more.';
COMMENT ON CONSTRAINT checklist_items_pkey ON crewsnow_ops.checklist_items IS 'An item has one row.';

INSERT INTO crewsnow_ops.checklist_items VALUES
    ('post-incident', 'contained', 'immediate', '2 hours', 1, 'The incident is contained: it gets no worse.', 'SELECT * FROM crewsnow_ops.dashboard;', true),
    ('post-incident', 'restored', 'immediate', '2 hours', 2, 'Everything works as it did before; what was switched off is on again.',
        'SELECT * FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 20;', true),
    ('post-incident', 'stable', 'immediate', '2 hours', 3, 'The monitoring has shown nothing for a while.', 'SELECT * FROM @extschema@.performance_health_check() WHERE status <> ''OK'';', true),
    ('post-incident', 'users-told', 'immediate', '2 hours', 4, 'Users know that it is over.', NULL, true),
    ('post-incident', 'root-cause', '24 hours', '1 day', 5, 'The root cause is known, and not only what set it off.', NULL, true),
    ('post-incident', 'fix-validated', '24 hours', '1 day', 6, 'The correction has been tried in staging.', 'SELECT * FROM crewsnow_ops.run_e2e_tests();', true),
    ('post-incident', 'documented', '24 hours', '1 day', 7, 'The documentation and the runbook say what was learnt.', NULL, true),
    ('post-incident', 'prevention', '24 hours', '1 day', 8, 'What would have prevented it has been found and has an owner.', NULL, true),
    ('post-incident', 'review', '1 week', '7 days', 9, 'All concerned have met and gone through it, without blame.', NULL, true),
    ('post-incident', 'process', '1 week', '7 days', 10, 'What was wrong with the way we work has been changed.', NULL, true),
    ('post-incident', 'monitoring', '1 week', '7 days', 11, 'The next one of its kind would be noticed earlier.', NULL, true),
    ('post-incident', 'training', '1 week', '7 days', 12, 'Whoever needs it for the next time has been trained.', NULL, true),
    ('feature-flag-review', 'untouched', 'weekly', '7 days', 1, 'Flags that nobody has changed for a week: is each still as it should be, and still needed?',
        'SELECT * FROM @extschema@.feature_flags WHERE updated_at < now() - interval ''7 days'';', true),
    ('feature-flag-review', 'stuck-rollouts', 'weekly', '7 days', 2, 'Rollouts that have stopped half-way go on, or back.',
        'SELECT flag_key, rollout_percentage, updated_at FROM @extschema@.feature_flags WHERE is_enabled AND rollout_percentage BETWEEN 1 AND 99 ORDER BY updated_at;', true),
    ('feature-flag-review', 'invisible', 'weekly', '7 days', 3, 'Flags that are enabled and that nobody sees.',
        'SELECT flag_key, updated_at FROM @extschema@.feature_flags WHERE is_enabled AND rollout_percentage = 0;', true),
    ('feature-flag-review', 'left-over', 'weekly', '7 days', 4, 'Switches for maintenance that were left on.',
        'SELECT flag_key, updated_at FROM @extschema@.feature_flags WHERE feature_category = ''maintenance'' AND is_enabled;', true),
    ('feature-flag-review', 'as-planned', 'weekly', '7 days', 5, 'Flags that do not stand as the launch plan has them.',
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
    CONSTRAINT evidence_pkey PRIMARY KEY (id),
    CONSTRAINT evidence_source_check CHECK (source OPERATOR(pg_catalog.=) ANY (ARRAY['recorded', 'tests']))
) USING heap;
CREATE INDEX evidence_criterion_idx ON crewsnow_ops.evidence (criterion, recorded_at);
COMMENT ON TABLE crewsnow_ops.evidence IS 'What speaks for criteria, and against them.';
COMMENT ON COLUMN crewsnow_ops.evidence.id IS 'Its id.';
COMMENT ON COLUMN crewsnow_ops.evidence.criterion IS 'The criterion.';
COMMENT ON COLUMN crewsnow_ops.evidence.passed IS 'Whether it speaks for it.';
COMMENT ON COLUMN crewsnow_ops.evidence.source IS 'recorded: by record_evidence. tests: by a decision that ran the registered tests; kept for 90 days.';
COMMENT ON COLUMN crewsnow_ops.evidence.release IS 'The release that it is about; NULL for whichever.';
COMMENT ON COLUMN crewsnow_ops.evidence.details IS 'What it rests on; of tests, their steps, times in milliseconds and errors.';
COMMENT ON COLUMN crewsnow_ops.evidence.recorded_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.evidence.valid_until IS 'Until when it counts at most; a shorter fresh_for of the criterion ends that earlier.';
COMMENT ON COLUMN crewsnow_ops.evidence.recorded_by IS 'By whom (session_user).';
COMMENT ON CONSTRAINT evidence_pkey ON crewsnow_ops.evidence IS 'One row each.';
COMMENT ON CONSTRAINT evidence_source_check ON crewsnow_ops.evidence IS 'Where it comes from.';
COMMENT ON INDEX crewsnow_ops.evidence_criterion_idx IS 'The last of a criterion.';

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
    CONSTRAINT waivers_pkey PRIMARY KEY (id),
    CONSTRAINT waivers_approved_by_check CHECK (approved_by OPERATOR(pg_catalog.<>) requested_by),
    CONSTRAINT waivers_reason_check CHECK (reason OPERATOR(pg_catalog.<>) '' AND pg_catalog.isfinite(expires_at))
) USING heap;
COMMENT ON TABLE crewsnow_ops.waivers IS 'Criteria that need not be met for now. A blocker''s needs somebody else''s approval. Decisions show the last of a criterion that was not revoked.';
COMMENT ON COLUMN crewsnow_ops.waivers.id IS 'Its id.';
COMMENT ON COLUMN crewsnow_ops.waivers.criterion IS 'The criterion.';
COMMENT ON COLUMN crewsnow_ops.waivers.release IS 'The release that it is for; NULL for whichever.';
COMMENT ON COLUMN crewsnow_ops.waivers.reason IS 'Why.';
COMMENT ON COLUMN crewsnow_ops.waivers.requested_by IS 'Who asked (session_user).';
COMMENT ON COLUMN crewsnow_ops.waivers.requested_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.waivers.expires_at IS 'Until when.';
COMMENT ON COLUMN crewsnow_ops.waivers.approved_by IS 'Who agreed (session_user), somebody else.';
COMMENT ON COLUMN crewsnow_ops.waivers.approved_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.waivers.revoked_by IS 'Who took it back (session_user).';
COMMENT ON COLUMN crewsnow_ops.waivers.revoked_at IS 'When.';
COMMENT ON CONSTRAINT waivers_pkey ON crewsnow_ops.waivers IS 'One row each.';
COMMENT ON CONSTRAINT waivers_approved_by_check ON crewsnow_ops.waivers IS 'Two different people.';
COMMENT ON CONSTRAINT waivers_reason_check ON crewsnow_ops.waivers IS 'A reason and an end are needed.';

CREATE TABLE crewsnow_ops.freezes (
    id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT freezes_pkey PRIMARY KEY (id),
    CONSTRAINT freezes_check CHECK (reason OPERATOR(pg_catalog.<>) '' AND pg_catalog.isfinite(starts_at) AND pg_catalog.isfinite(ends_at))
) USING heap;
COMMENT ON TABLE crewsnow_ops.freezes IS 'Times in which nothing is launched.';
COMMENT ON COLUMN crewsnow_ops.freezes.id IS 'Its id.';
COMMENT ON COLUMN crewsnow_ops.freezes.starts_at IS 'From when.';
COMMENT ON COLUMN crewsnow_ops.freezes.ends_at IS 'Until when, exclusive.';
COMMENT ON COLUMN crewsnow_ops.freezes.reason IS 'Why.';
COMMENT ON COLUMN crewsnow_ops.freezes.created_by IS 'By whom (session_user).';
COMMENT ON CONSTRAINT freezes_pkey ON crewsnow_ops.freezes IS 'One row each.';
COMMENT ON CONSTRAINT freezes_check ON crewsnow_ops.freezes IS 'A reason and an end are needed.';

-- The function is text and not regprocedure, which pg_upgrade refuses in tables.
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
COMMENT ON TABLE crewsnow_ops.e2e_tests IS 'Tests that decisions run and undo.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.name IS 'Its name.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.criterion IS 'The criterion that it is for.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.function IS 'The function, qualified.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.role IS 'The role that it runs as.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.claims IS 'The claims that it runs with.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.time_limit IS 'How long it may take.';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.registered_by IS 'Who registered it (session_user).';
COMMENT ON COLUMN crewsnow_ops.e2e_tests.registered_at IS 'When.';
COMMENT ON CONSTRAINT e2e_tests_pkey ON crewsnow_ops.e2e_tests IS 'A test has one row.';

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
    CONSTRAINT decisions_pkey PRIMARY KEY (id)
) USING heap;
CREATE INDEX decisions_decided_at_idx ON crewsnow_ops.decisions (decided_at);
COMMENT ON TABLE crewsnow_ops.decisions IS 'What was decided, with all that it rests on. Rows are neither changed nor removed.';
COMMENT ON COLUMN crewsnow_ops.decisions.id IS 'Its id.';
COMMENT ON COLUMN crewsnow_ops.decisions.gate IS 'go_no_go or launch.';
COMMENT ON COLUMN crewsnow_ops.decisions.release IS 'The release that was asked about, if any was named.';
COMMENT ON COLUMN crewsnow_ops.decisions.decision IS 'As make_go_no_go_decision and make_launch_decision say it.';
COMMENT ON COLUMN crewsnow_ops.decisions.is_go IS 'Whether it is GO, or READY FOR LAUNCH.';
COMMENT ON COLUMN crewsnow_ops.decisions.readiness_score IS 'The weights of what was met, 0 to 100.';
COMMENT ON COLUMN crewsnow_ops.decisions.blockers IS 'Blockers that were neither met nor waived, and faults of the criteria.';
COMMENT ON COLUMN crewsnow_ops.decisions.warnings IS 'What else was not met, and waived blockers.';
COMMENT ON COLUMN crewsnow_ops.decisions.reasons IS 'Why.';
COMMENT ON COLUMN crewsnow_ops.decisions.next_actions IS 'What to type next.';
COMMENT ON COLUMN crewsnow_ops.decisions.inputs IS 'All that it rests on: criteria, measurements, evidence, waivers.';
COMMENT ON COLUMN crewsnow_ops.decisions.decided_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.decisions.decided_by IS 'Who asked (session_user).';
COMMENT ON COLUMN crewsnow_ops.decisions.valid_until IS 'Until when it can be relied on: four hours, or until evidence or a waiver that it rests on ends.';
COMMENT ON CONSTRAINT decisions_pkey ON crewsnow_ops.decisions IS 'One row each.';
COMMENT ON INDEX crewsnow_ops.decisions_decided_at_idx IS 'The last ones.';

SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.criteria', 'WHERE changed_at IS NOT NULL');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.launch_plan', 'WHERE changed_at IS NOT NULL');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.checklist_items', 'WHERE NOT seeded');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.evidence', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.waivers', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.freezes', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.e2e_tests', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.decisions', '');

CREATE FUNCTION crewsnow_ops.seeded_rows_stay() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'seeded_rows_stay_wrapper';
COMMENT ON FUNCTION crewsnow_ops.seeded_rows_stay() IS 'Trigger: who changed a row and when; refuses to remove what came with the extension (SQLSTATE 0A000); a restored row takes its place.';
CREATE FUNCTION crewsnow_ops.decisions_are_final() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'decisions_are_final_wrapper';
COMMENT ON FUNCTION crewsnow_ops.decisions_are_final() IS 'Trigger: refuses to change or remove what was decided. SQLSTATE 42501.';
REVOKE ALL ON FUNCTION crewsnow_ops.seeded_rows_stay(), crewsnow_ops.decisions_are_final() FROM PUBLIC;

CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.criteria
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.criteria IS 'Changes, dumps.';
CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.launch_plan
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.launch_plan IS 'Changes, dumps.';
CREATE TRIGGER seeded_rows_stay BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.checklist_items
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.seeded_rows_stay();
COMMENT ON TRIGGER seeded_rows_stay ON crewsnow_ops.checklist_items IS 'Changes, dumps.';
CREATE TRIGGER decisions_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON crewsnow_ops.decisions
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.decisions_are_final();
COMMENT ON TRIGGER decisions_are_final ON crewsnow_ops.decisions IS 'For everybody, the owner included.';
ALTER TABLE crewsnow_ops.criteria ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.launch_plan ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.checklist_items ENABLE ALWAYS TRIGGER seeded_rows_stay;
ALTER TABLE crewsnow_ops.decisions ENABLE ALWAYS TRIGGER decisions_are_final;
