//! The flags inside the server, each test in a transaction that is rolled back.

#[pgrx::pg_schema]
mod tests {
    use pgrx::JsonB;
    use pgrx::prelude::*;

    fn on(key: &str) -> bool {
        Spi::get_one_with_args("SELECT is_feature_enabled_for_user($1)", &[key.into()])
            .expect("evaluates")
            .expect("never NULL")
    }

    fn on_for(key: &str, user: &str) -> bool {
        Spi::get_one_with_args(
            "SELECT is_feature_enabled_for_user($1, $2::uuid)",
            &[key.into(), user.into()],
        )
        .expect("evaluates")
        .expect("never NULL")
    }

    fn run(sql: &str) {
        Spi::run(sql).expect(sql);
    }

    /// The harness runs tests concurrently in one database. Without this lock, tests that change
    /// flags would deadlock.
    fn lock_flags() {
        run("LOCK TABLE feature_flags IN SHARE ROW EXCLUSIVE MODE");
    }

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).expect(sql).expect("not NULL")
    }

    fn count(sql: &str) -> i64 {
        Spi::get_one::<i64>(sql).expect(sql).expect("not NULL")
    }

    const ADA: &str = "11111111-1111-4111-8111-111111111111";
    const BOB: &str = "22222222-2222-4222-8222-222222222222";

    #[pg_test]
    fn launch_configuration() {
        lock_flags();
        let enabled = text(
            "SELECT string_agg(flag_key, ' ' ORDER BY flag_key) FROM feature_flags \
             WHERE is_enabled",
        );
        assert_eq!(
            enabled,
            "basic_matching boost_station messaging premium_subscriptions user_registration"
        );
        assert_eq!(count("SELECT count(*) FROM feature_flags"), 13);
        assert_eq!(count("SELECT count(*) FROM crewsnow_ops.flag_history"), 0);
    }

    #[pg_test]
    fn unknown_and_null_keys_are_off() {
        lock_flags();
        assert!(!on("no_such_flag"));
        assert!(!on(""));
        assert!(!on(&"k".repeat(10_240)));
        assert_eq!(
            Spi::get_one::<bool>("SELECT is_feature_enabled_for_user(NULL)"),
            Ok(Some(false))
        );
        assert_eq!(
            Spi::get_one::<bool>("SELECT is_feature_enabled_for_user(NULL, NULL)"),
            Ok(Some(false))
        );
    }

    #[pg_test]
    fn a_change_is_seen_at_once() {
        lock_flags();
        assert!(on("messaging"));
        run("SELECT update_feature_flag('messaging', false)");
        assert!(!on("messaging"));
        run("UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging'");
        assert!(on("messaging"));
        run("DELETE FROM feature_flags WHERE flag_key = 'messaging'");
        assert!(!on("messaging"));
    }

    #[pg_test]
    fn targeting_uses_the_user_context() {
        lock_flags();
        run("SELECT update_feature_flag('advanced_filters', true, 100)");
        assert!(!on_for("advanced_filters", ADA), "unknown user");
        assert!(!on("advanced_filters"), "no user");
        run(&format!(
            "INSERT INTO crewsnow_ops.user_context VALUES ('{ADA}', true, 'FR', '{{beta}}'), \
             ('{BOB}', false, 'CH', '{{}}')"
        ));
        assert!(on_for("advanced_filters", ADA));
        assert!(!on_for("advanced_filters", BOB));
        run("UPDATE feature_flags SET target_regions = '{CH,AT}' \
             WHERE flag_key = 'advanced_filters'");
        assert!(!on_for("advanced_filters", ADA));
        run("UPDATE feature_flags SET target_regions = '{CH,FR}', target_segments = '{beta}' \
             WHERE flag_key = 'advanced_filters'");
        assert!(on_for("advanced_filters", ADA));
        run(&format!(
            "UPDATE crewsnow_ops.user_context SET segments = '{{NULL,staff}}' \
             WHERE user_id = '{ADA}'"
        ));
        assert!(!on_for("advanced_filters", ADA));
        run(&format!(
            "UPDATE feature_flags SET target_user_ids = '{{{BOB},{ADA}}}' \
             WHERE flag_key = 'advanced_filters'"
        ));
        assert!(
            on_for("advanced_filters", ADA) && on_for("advanced_filters", BOB),
            "listed users pass every condition"
        );
        run("SELECT update_feature_flag('advanced_filters', false)");
        assert!(!on_for("advanced_filters", ADA), "off dominates");
    }

    #[pg_test]
    fn nested_and_null_array_elements_do_no_harm() {
        lock_flags();
        // A trigger refuses NULLs, but rows of a publisher or a dump may have them.
        run("SET LOCAL session_replication_role = replica");
        run("UPDATE feature_flags SET is_enabled = true, rollout_percentage = 100, \
            target_regions = '{{FR,CH},{AT,NULL}}',
             target_user_ids = '{NULL}' WHERE flag_key = 'tracker_pro'");
        run(&format!("INSERT INTO crewsnow_ops.user_context VALUES ('{ADA}', true, 'AT')"));
        assert!(on_for("tracker_pro", ADA));
        assert!(!on_for("tracker_pro", BOB));
        for lists in [
            "target_regions = '{NULL}', target_segments = '{}'",
            "target_regions = '{}', target_segments = '{NULL,NULL}'",
        ] {
            run(&format!("UPDATE feature_flags SET {lists} WHERE flag_key = 'tracker_pro'"));
            assert!(!on_for("tracker_pro", ADA), "{lists} is nobody");
            assert!(!on("tracker_pro"), "{lists} is nobody");
        }
    }

    #[pg_test]
    fn a_uuid_as_text_is_that_uuid() {
        lock_flags();
        run("SELECT update_feature_flag('tracker_pro', true, 50)");
        run(&format!(
            "UPDATE feature_flags SET target_user_ids = '{{{ADA}}}' WHERE flag_key = 'messaging'"
        ));
        let differing = "SELECT count(*) FROM generate_series(1, 1000) AS n
             CROSS JOIN LATERAL (SELECT md5(n::text)::uuid AS id) AS u
             CROSS JOIN (VALUES ('tracker_pro'), ('messaging'), ('no_such_flag')) AS f (key)
             WHERE is_feature_enabled_for_user(f.key, u.id)
                 <> is_feature_enabled_for_user(f.key, u.id::text)
                OR is_feature_enabled_for_user(f.key, u.id)
                 <> is_feature_enabled_for_user(f.key, upper(u.id::text))";
        assert_eq!(count(differing), 0);
        let share = "SELECT count(*) FROM generate_series(1, 1000) AS n
             WHERE is_feature_enabled_for_user('tracker_pro', 'auth0|' || n)";
        assert!((400..600).contains(&count(share)));
        for user in ["''", "NULL::text"] {
            let sql = format!("SELECT is_feature_enabled_for_user('tracker_pro', {user})");
            assert_eq!(Spi::get_one::<bool>(&sql), Ok(Some(false)), "{user}");
        }
    }

    #[pg_test]
    fn every_flag_in_one_call() {
        lock_flags();
        run(&format!("INSERT INTO crewsnow_ops.user_context VALUES ('{ADA}', true)"));
        run("SELECT update_feature_flag('advanced_filters', true, 100)");
        for user in [format!("'{ADA}'::uuid"), format!("'{ADA}'::text"), "'x'::text".into()] {
            let differing = format!(
                "SELECT count(*) FROM crewsnow_ops.evaluate_all({user}) AS e
                 FULL JOIN feature_flags AS f ON f.flag_key = e.flag_key
                 WHERE e.value IS DISTINCT FROM is_feature_enabled_for_user(f.flag_key, {user})
                     OR e.reason IS DISTINCT FROM
                         crewsnow_ops.explain_feature_flag(f.flag_key, {user}) ->> 'reason'"
            );
            assert_eq!(count(&differing), 0, "{user}");
        }
    }

    #[pg_test]
    fn an_erased_user_is_in_no_history_row() {
        lock_flags();
        for list in [format!("{ADA},{BOB}"), BOB.into(), ADA.into()] {
            run(&format!(
                "UPDATE feature_flags SET target_user_ids = '{{{list}}}' \
                 WHERE flag_key = 'messaging'"
            ));
        }
        run(&format!("INSERT INTO crewsnow_ops.user_context VALUES ('{ADA}', true)"));
        run(&format!("SELECT set_config('request.jwt.claims', '{{\"sub\": \"{ADA}\"}}', true)"));
        run("SELECT update_feature_flag('messaging', false)");
        run("SELECT set_config('request.jwt.claims', '', true)");
        let erase = format!("SELECT crewsnow_ops.erase_user_from_flags('{ADA}', 'request 17')");
        assert_eq!(Spi::get_one::<i64>(&erase), Ok(Some(5)));
        let mentions = |user: &str| {
            count(&format!(
                "SELECT count(*) FROM (SELECT h::text FROM crewsnow_ops.flag_history AS h
                     UNION ALL SELECT f::text FROM feature_flags AS f
                     UNION ALL SELECT u::text FROM crewsnow_ops.user_context AS u
                     UNION ALL SELECT e::text FROM crewsnow_ops.flag_history_erasures AS e)
                     AS rows (text)
                 WHERE text LIKE '%{user}%'"
            ))
        };
        assert_eq!(mentions(ADA), 0);
        assert_ne!(mentions(BOB), 0, "only the erased user is blanked");
        assert_eq!(count("SELECT count(*) FROM crewsnow_ops.flag_history"), 5);
        assert_eq!(text("SELECT reason FROM crewsnow_ops.flag_history_erasures"), "request 17");
        let same = "SELECT count(*) FROM (SELECT * FROM feature_flags EXCEPT SELECT * \
            FROM crewsnow_ops.flag_state_at('infinity')) AS d";
        assert_eq!(count(same), 0, "the history still replays to the flags");
        assert_eq!(Spi::get_one::<i64>(&erase), Ok(Some(0)));
    }

    #[pg_test(error = "crewsnow_ops.flag_history is append-only")]
    fn the_history_stays_append_only_after_an_erasure() {
        lock_flags();
        run(&format!("SELECT crewsnow_ops.erase_user_from_flags('{ADA}', 'request 17')"));
        run("UPDATE crewsnow_ops.flag_history SET reason = 'x'");
    }

    #[pg_test]
    fn the_history_has_every_real_change_and_nothing_else() {
        lock_flags();
        run("SELECT update_feature_flag('tracker_pro', true, 25, 'ada')");
        run("SELECT update_feature_flag('tracker_pro', true, 25)");
        run("UPDATE feature_flags SET updated_at = now() - interval '1 year', \
             last_checked_at = now()");
        run("UPDATE feature_flags SET is_enabled = is_enabled");
        assert_eq!(count("SELECT count(*) FROM crewsnow_ops.flag_history"), 1);
        assert_eq!(
            count("SELECT count(*) FROM feature_flags WHERE updated_at <> created_at"),
            1,
            "updated_at is the trigger's"
        );
        let row = text(
            "SELECT concat_ws(' ', operation, before ->> 'rollout_percentage', \
             after ->> 'rollout_percentage', updated_by,
                              session_user_name = session_user, current_user_name = current_user,
                                  xid = pg_current_xact_id(),
                              application_name = current_setting('application_name'),
                              changed_at = (SELECT updated_at FROM feature_flags
                                  WHERE flag_key = 'tracker_pro'))
             FROM crewsnow_ops.flag_history",
        );
        assert_eq!(row, "UPDATE 0 25 ada t t t t t");
    }

    #[pg_test]
    fn the_reason_comes_from_the_setting() {
        lock_flags();
        run("SET LOCAL crewsnow_ops.change_reason = 'INC-42'");
        run("DELETE FROM feature_flags WHERE flag_key = 'voice_messages'");
        assert_eq!(text("SELECT reason FROM crewsnow_ops.flag_history"), "INC-42");
        run("SET LOCAL crewsnow_ops.change_reason = '  '");
        run("INSERT INTO feature_flags (flag_key) VALUES ('ski_lift_map')");
        assert_eq!(count("SELECT count(*) FROM crewsnow_ops.flag_history WHERE reason IS NULL"), 1);
    }

    #[pg_test]
    fn updated_at_moves_on_every_change_even_in_one_transaction() {
        lock_flags();
        for percentage in [10, 20, 30] {
            run(&format!(
                "UPDATE feature_flags SET rollout_percentage = {percentage} \
                 WHERE flag_key = 'tracker_pro'"
            ));
        }
        let ordered = "SELECT count(DISTINCT (after ->> 'updated_at')::timestamptz) \
            FROM crewsnow_ops.flag_history";
        assert_eq!(count(ordered), 3);
        assert_eq!(count("SELECT count(DISTINCT changed_at) FROM crewsnow_ops.flag_history"), 3);
    }

    #[pg_test]
    fn flag_state_at_returns_the_flags_of_any_time() {
        lock_flags();
        run("SELECT update_feature_flag('tracker_pro', true, 25)");
        run("DELETE FROM feature_flags WHERE flag_key = 'voice_messages'");
        run("INSERT INTO feature_flags (flag_key) VALUES ('ski_lift_map')");
        let state = |moment: &str| {
            text(&format!(
                "SELECT count(*) || ' ' || coalesce(max(rollout_percentage) \
                 FILTER (WHERE flag_key = 'tracker_pro'), -1)
                 FROM crewsnow_ops.flag_state_at({moment})"
            ))
        };
        let before =
            "(SELECT min(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history)";
        assert_eq!(state(before), "13 0");
        assert_eq!(state("(SELECT min(changed_at) FROM crewsnow_ops.flag_history)"), "13 25");
        assert_eq!(state("clock_timestamp()"), "13 25");
        assert_eq!(state("'infinity'"), "13 25");
        assert_eq!(state("'-infinity'"), "0 -1");
        assert_eq!(state("NULL"), "0 -1");
        let same = "SELECT count(*) FROM (SELECT * FROM feature_flags EXCEPT SELECT * \
            FROM crewsnow_ops.flag_state_at('infinity')) AS d";
        assert_eq!(count(same), 0);
    }

    #[pg_test]
    fn restoring_appends() {
        lock_flags();
        run("CREATE TEMP TABLE as_it_was AS SELECT * FROM feature_flags");
        run("SELECT update_feature_flag('tracker_pro', true, 25)");
        run("DELETE FROM feature_flags WHERE flag_key = 'voice_messages'");
        run("INSERT INTO feature_flags (flag_key) VALUES ('ski_lift_map')");
        run("UPDATE feature_flags SET flag_key = 'swap' WHERE flag_key = 'messaging'");
        run("UPDATE feature_flags SET flag_key = 'messaging' WHERE flag_key = 'basic_matching'");
        run("UPDATE feature_flags SET flag_key = 'basic_matching' WHERE flag_key = 'swap'");
        run("CREATE TEMP TABLE earlier_history AS SELECT * FROM crewsnow_ops.flag_history");
        let before =
            "(SELECT min(changed_at) - interval '1 microsecond' FROM crewsnow_ops.flag_history)";
        let changed = Spi::get_one::<i32>(&format!(
            "SELECT crewsnow_ops.restore_feature_flags({before}, 'undo')"
        ));
        assert_eq!(changed, Ok(Some(5)));
        // Whole rows but for bookkeeping, so that a new column cannot be left out.
        let rows = |table: &str| {
            format!(
                "SELECT to_jsonb(r.*) - '{{updated_at,last_checked_at}}'::text[] FROM {table} AS r"
            )
        };
        let (now, then) = (rows("feature_flags"), rows("as_it_was"));
        let difference = format!(
            "SELECT count(*) FROM (({now} EXCEPT {then}) UNION ALL ({then} EXCEPT {now})) AS d"
        );
        assert_eq!(count(&difference), 0);
        assert_eq!(
            count(
                "SELECT count(*) FROM (SELECT * FROM earlier_history EXCEPT SELECT * \
                 FROM crewsnow_ops.flag_history) AS d"
            ),
            0
        );
        assert_eq!(
            count("SELECT count(*) FROM crewsnow_ops.flag_history WHERE reason = 'undo'"),
            7
        );
        let again = Spi::get_one::<i32>(&format!(
            "SELECT crewsnow_ops.restore_feature_flags({before}, 'undo')"
        ));
        assert_eq!(again, Ok(Some(0)));
    }

    #[pg_test]
    fn every_column_is_restored_even_one_added_later() {
        lock_flags();
        run("ALTER TABLE feature_flags ADD COLUMN \"target Platforms\" text[] NOT NULL \
             DEFAULT '{}'");
        run("UPDATE feature_flags SET \"target Platforms\" = '{ios}' \
             WHERE flag_key = 'tracker_pro'");
        let row = "SELECT (to_jsonb(f.*) - '{updated_at,last_checked_at}'::text[])::text
                   FROM feature_flags AS f WHERE flag_key IN ('tracker_pro', 'tracker_pro2')";
        let before = text(row);
        let moment = text("SELECT max(changed_at)::text FROM crewsnow_ops.flag_history");
        // One change for each column but those that are fixed or kept by triggers; the new value
        // depends on the type only, so that a column of another type fails here and not in use.
        let changes = text(
            "SELECT string_agg(format('%1$I = %2$s', attname, CASE
                 WHEN attname = 'feature_category' THEN quote_literal('beta')
                 WHEN atttypid = 'text'::regtype
                     THEN format('coalesce(%I, %L) || %L', attname, '', '2')
                 WHEN atttypid = 'boolean'::regtype THEN format('NOT %I', attname)
                 WHEN atttypid = 'integer'::regtype THEN format('(%I + 1) %% 100', attname)
                 WHEN atttypid = 'text[]'::regtype THEN format('%I || %L::text', attname, 'x')
                 WHEN atttypid = 'uuid[]'::regtype THEN format('%I || gen_random_uuid()', attname)
                 WHEN atttypid = 'timestamptz'::regtype
                     THEN format('%I - interval %L', attname, '1 hour')
                 ELSE 'a type that this test does not know' END), ', ')
             FROM pg_attribute
             WHERE attrelid = 'feature_flags'::regclass AND attnum > 0 AND NOT attisdropped
                 AND attname NOT IN ('id', 'rollout_group', 'updated_at', 'last_checked_at')",
        );
        run(&format!("UPDATE feature_flags SET {changes} WHERE flag_key = 'tracker_pro'"));
        assert_ne!(text(row), before);
        let restore = format!("SELECT crewsnow_ops.restore_feature_flags('{moment}', 'undo')");
        assert_eq!(Spi::get_one::<i32>(&restore), Ok(Some(1)));
        assert_eq!(text(row), before, "a changed flag is restored whole");
        run("DELETE FROM feature_flags WHERE flag_key = 'tracker_pro'");
        assert_eq!(Spi::get_one::<i32>(&restore), Ok(Some(1)));
        assert_eq!(text(row), before, "a deleted flag is restored whole");
    }

    #[pg_test]
    fn renaming_moves_no_user() {
        lock_flags();
        run("UPDATE feature_flags SET is_enabled = true, rollout_percentage = 50 \
             WHERE flag_key = 'tracker_pro'");
        run("CREATE TEMP TABLE users AS SELECT gen_random_uuid() AS id \
             FROM generate_series(1, 1000)");
        run("CREATE TEMP TABLE before AS SELECT id, is_feature_enabled_for_user('tracker_pro', \
             id) AS is_on FROM users");
        run("UPDATE feature_flags SET flag_key = 'tracker_pro_2' WHERE flag_key = 'tracker_pro'");
        assert_eq!(
            count(
                "SELECT count(*) FROM before WHERE is_on \
                 <> is_feature_enabled_for_user('tracker_pro_2', id)"
            ),
            0
        );
        let on = count("SELECT count(*) FROM before WHERE is_on");
        assert!((400..600).contains(&on), "{on}");
    }

    #[pg_test]
    fn explanations() {
        lock_flags();
        let explain = |arguments: &str| {
            let sql = format!("SELECT crewsnow_ops.explain_feature_flag({arguments})");
            let JsonB(json) = Spi::get_one(&sql).expect("explains").expect("not NULL");
            (
                json["value"].as_bool().expect("value"),
                json["reason"].as_str().expect("reason").to_owned(),
            )
        };
        assert_eq!(explain("'messaging'"), (true, "STATIC".into()));
        assert_eq!(explain("'tracker_pro'"), (false, "DISABLED".into()));
        assert_eq!(explain("'no_such_flag'"), (false, "FLAG_NOT_FOUND".into()));
        assert_eq!(explain("NULL"), (false, "FLAG_NOT_FOUND".into()));
        run("SELECT update_feature_flag('tracker_pro', true, 50)");
        assert_eq!(explain("'tracker_pro'"), (false, "TARGETING_KEY_MISSING".into()));
        assert_eq!(explain(&format!("'tracker_pro', '{ADA}'")).1, "SPLIT");
    }

    #[pg_test]
    fn an_empty_search_path_changes_nothing() {
        lock_flags();
        run("SET LOCAL search_path = ''");
        assert_eq!(
            Spi::get_one::<bool>("SELECT public.is_feature_enabled_for_user('messaging')"),
            Ok(Some(true))
        );
        assert_eq!(
            Spi::get_one::<bool>("SELECT public.update_feature_flag('messaging', false)"),
            Ok(Some(true))
        );
        assert_eq!(
            Spi::get_one::<bool>("SELECT public.is_feature_enabled_for_user('messaging')"),
            Ok(Some(false))
        );
        assert_eq!(count("SELECT count(*) FROM crewsnow_ops.flag_history"), 1);
    }

    #[pg_test(error = "feature flag \"mesaging\" does not exist")]
    fn a_likely_typo_is_refused() {
        lock_flags();
        run("SELECT update_feature_flag('mesaging', false)");
    }

    #[pg_test(error = "rollout percentage -1 is out of range")]
    fn a_negative_percentage_is_refused() {
        lock_flags();
        run("SELECT update_feature_flag('messaging', true, -1)");
    }

    #[pg_test(error = "unrecognized configuration parameter \"crewsnow_ops.change_reasons\"")]
    fn a_misspelt_setting_is_refused() {
        lock_flags();
        run("SELECT update_feature_flag('messaging', true)");
        run("SHOW crewsnow_ops.change_reasons");
    }
}
