//! Databases that already have tables of the extension's names, and flags copied between databases.

use harness::{Cluster, explain, is_on, rows, run, sqlstate, value};

const OWN_TABLES: &str = "
    CREATE ROLE web;
    CREATE TABLE feature_flags (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        flag_key text NOT NULL UNIQUE, is_enabled boolean, rollout_percentage smallint,
        target_regions text[], created_at timestamp DEFAULT now(), team text);
    GRANT SELECT ON feature_flags TO web;
    INSERT INTO feature_flags (flag_key, is_enabled, rollout_percentage, target_regions)
        VALUES ('messaging', false, 100, NULL), ('dark_mode', true, 40, '{FR}'),
            ('lift_map', NULL, 0, '{}');
    CREATE TABLE pages (flag uuid REFERENCES feature_flags (id));
    CREATE TABLE event_log (id uuid, event_type varchar(50), payload json, duration_ms float8,
        function_name text, created_at timestamptz);
    INSERT INTO event_log VALUES (gen_random_uuid(), 'edge_call', '{\"status_code\": 503}', 12.5,
        'pay', now() - interval '1 minute'), (gen_random_uuid(), 'login', NULL, NULL, NULL, now());
    CREATE TABLE processed_events (id text PRIMARY KEY, type text, status text,
        processed_at timestamptz);
    INSERT INTO processed_events VALUES ('evt_1', 'invoice.paid', 'processed', now()),
        ('evt_2', 'invoice.paid', 'done', now())";

#[test]
fn tables_of_an_application_are_taken_over() {
    let cluster = Cluster::start("adoption", "");
    cluster.create_empty_database("app");
    let mut a = cluster.connect("app");
    run(&mut a, OWN_TABLES);
    let ids = "SELECT flag_key || id FROM feature_flags WHERE flag_key = 'messaging'";
    let id_before = value(&mut a, ids);
    // The error says how, and its HINT can be pasted.
    let error = a.batch_execute("CREATE EXTENSION crewsnow_ops").expect_err("the names are taken");
    let text = explain(&error);
    assert!(text.starts_with("42P07 this database already has event_log, feature_flags"), "{text}");
    let hint = error.as_db_error().and_then(|e| e.hint()).expect("a hint").to_owned();
    run(&mut a, &hint);
    let adopt = |table: &str, dry: bool| {
        format!(
            "SELECT item, row_count, note FROM crewsnow_ops.adopt('before_crewsnow_ops.{table}',
                 p_dry_run => {dry})"
        )
    };
    let flags = "SELECT flag_key, is_enabled, rollout_percentage, target_regions
        FROM feature_flags WHERE flag_key IN ('messaging', 'dark_mode', 'lift_map') ORDER BY 1";
    let report = rows(&mut a, &adopt("feature_flags", true));
    assert_eq!(report[0], "would be taken over|3|into public.feature_flags");
    assert!(report.contains(&"column|NULL|team is left behind".into()), "{report:?}");
    assert!(
        report.contains(&"privilege|NULL|GRANT SELECT ON public.feature_flags TO web;".into()),
        "{report:?}"
    );
    assert!(report.iter().any(|row| row.contains("of public.pages refers to")), "{report:?}");
    assert_eq!(rows(&mut a, flags), ["messaging|t|100|{}"], "a dry run changes nothing");
    assert_eq!(
        rows(&mut a, &adopt("feature_flags", false))[0],
        "taken over|3|into public.feature_flags"
    );
    assert_eq!(
        rows(&mut a, flags),
        ["dark_mode|t|40|{FR}", "lift_map|f|0|{}", "messaging|f|100|{}"]
    );
    assert!(!is_on(&mut a, "messaging"), "the application's kill holds");
    assert_eq!(value(&mut a, ids), id_before);
    assert_eq!(value(&mut a, "SELECT count(*) FROM feature_flags"), "15");
    assert_eq!(sqlstate(&mut a, &adopt("feature_flags", false)), "22023", "not twice");
    // Events count.
    assert_eq!(rows(&mut a, &adopt("event_log", false))[0], "taken over|2|into public.event_log");
    assert_eq!(
        value(
            &mut a,
            "SELECT total_calls FROM edge_functions_monitoring
                       WHERE function_name = 'pay'"
        ),
        "1"
    );
    // One row that cannot be converted refuses all.
    let report = rows(&mut a, &adopt("processed_events", true));
    assert_eq!(report[0], "would be taken over|1|into public.processed_events");
    assert!(report[1].starts_with("refused|1|new row for relation"), "{report:?}");
    assert_eq!(sqlstate(&mut a, &adopt("processed_events", false)), "22023");
    assert_eq!(value(&mut a, "SELECT count(*) FROM processed_events"), "0");
    run(&mut a, "UPDATE before_crewsnow_ops.processed_events SET status = 'processed'");
    run(&mut a, &adopt("processed_events", false));
    assert_eq!(value(&mut a, "SELECT count(*) FROM processed_events"), "2");
    // Tables that do not fit, and target lists with NULL.
    run(
        &mut a,
        "CREATE TABLE before_crewsnow_ops.odd (name text, target_regions text[]);
         INSERT INTO before_crewsnow_ops.odd VALUES ('null_region', '{NULL}'), ('fine', '{FR}');
         CREATE TABLE before_crewsnow_ops.none (nothing point)",
    );
    for (table, refusal) in
        [("odd", "refused|1|a target list contains NULL"), ("none", "refused|NULL|no column for")]
    {
        let sql = format!(
            "SELECT item, row_count, note
             FROM crewsnow_ops.adopt('before_crewsnow_ops.{table}', 'feature_flags')"
        );
        let report = rows(&mut a, &sql);
        assert!(report.iter().any(|row| row.starts_with(refusal)), "{report:?}");
        let sql = sql.replace("'feature_flags')", "'feature_flags', false)");
        assert_eq!(sqlstate(&mut a, &sql), "22023", "{table}");
    }
    assert_eq!(value(&mut a, "SELECT count(*) FROM feature_flags"), "15");
}

#[test]
fn flags_travel_from_staging_to_production() {
    let cluster = Cluster::start("flag_copies", "");
    let mut staging = cluster.create_database("staging");
    let mut production = cluster.create_database("production");
    run(
        &mut staging,
        "SELECT update_feature_flag('tracker_pro', true, 25);
         INSERT INTO feature_flags (flag_key, rollout_group, target_segments, description)
             VALUES ('lift_map', 'cohort 1', '{beta,\"a,b\"}', E'l''été\\n')",
    );
    run(
        &mut production,
        "INSERT INTO feature_flags (flag_key) VALUES ('only_here');
         SELECT update_feature_flag('messaging', false)",
    );
    let document = value(&mut staging, "SELECT crewsnow_ops.export_flags()").replace('\'', "''");
    let import = |dry: bool| {
        format!(
            "SELECT flag_key, action, changes FROM crewsnow_ops.import_flags('{document}', {dry},
                 'release 7') WHERE action <> 'keep'"
        )
    };
    let flags = "SELECT (to_jsonb(f.*) - '{id,created_at,created_by,updated_at,last_checked_at}'
            ::text[])::text
        FROM feature_flags AS f WHERE flag_key <> 'only_here' ORDER BY flag_key";
    let before = rows(&mut production, flags);
    let expected = [
        "lift_map|add|NULL",
        "messaging|change|is_enabled",
        "tracker_pro|change|is_enabled, rollout_percentage",
    ];
    let mut listener = cluster.connect("production");
    assert!(!is_on(&mut listener, "messaging"));
    assert_eq!(rows(&mut production, &import(true)), expected);
    assert_eq!(rows(&mut production, flags), before, "a dry run changes nothing");
    assert_eq!(rows(&mut production, &import(false)), expected);
    assert_eq!(rows(&mut production, flags), rows(&mut staging, flags));
    assert!(is_on(&mut listener, "messaging"));
    assert!(rows(&mut production, &import(false)).is_empty(), "nothing is left to change");
    assert_eq!(
        value(&mut production, "SELECT count(*) FROM feature_flags WHERE flag_key = 'only_here'"),
        "1"
    );
    assert_eq!(
        value(
            &mut production,
            "SELECT count(*) FROM crewsnow_ops.flag_history WHERE reason = 'release 7'"
        ),
        "3"
    );
}
