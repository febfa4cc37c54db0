//! Queries of rules inside the server, each test in a transaction that is rolled back.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    fn run(sql: &str) {
        Spi::run(sql).expect(sql);
    }

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).expect(sql).unwrap_or_default()
    }

    /// SQL that inserts a rule. The tests run at once in one database, so each has its own names.
    fn insert(name: &str, query: &str) -> String {
        format!(
            "INSERT INTO crewsnow_ops.alert_rules (name, description, query, warning, critical,
                 time_limit)
             VALUES ('{name}', 'x', $rule${query}$rule$, 5, 10, '2 seconds')"
        )
    }

    /// The rows of test_rule for a query.
    fn tested(name: &str, query: &str) -> String {
        run(&insert(name, query));
        lines(name)
    }

    fn lines(name: &str) -> String {
        text(&format!(
            "SELECT string_agg(concat_ws('|', verdict, subject, value, message), E'\\n' ORDER BY n)
             FROM crewsnow_ops.test_rule('{name}')
                 WITH ORDINALITY AS t (verdict, subject, value, samples, message, n)"
        ))
    }

    /// SQLSTATE, message and DETAIL of SQL that must fail.
    fn refused(sql: &str) -> String {
        run("CREATE OR REPLACE FUNCTION pg_temp.refused(p_sql text) RETURNS text
             LANGUAGE plpgsql AS $f$ DECLARE v_detail text; BEGIN
                EXECUTE p_sql; RETURN 'accepted';
             EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
                RETURN sqlstate || ' ' || sqlerrm || ' ' || v_detail; END $f$");
        Spi::get_one_with_args("SELECT pg_temp.refused($1)", &[sql.into()])
            .expect(sql)
            .expect("a text")
    }

    #[pg_test]
    fn each_form_of_a_select_is_a_rule() {
        let a = "CRITICAL|a|20|m";
        for (number, query) in [
            "SELECT 'a', 20, 'm'",
            "SELECT 'a', 20, 'm';",
            "SELECT 'a', 20, 'm'; -- the end",
            "SELECT 'a', 20, 'm' -- the end",
            "-- the start\n/* ; ) */ SELECT 'a', 20, 'm' /* the end */",
            "SELECT 'a', 20, 'm' LIMIT 1",
            "SELECT 'a' AS s, 20, 'm' ORDER BY s FETCH FIRST ROW ONLY",
            "VALUES ('a', 20, 'm')",
            "(SELECT 'a', 20, 'm')",
            "WITH w AS (SELECT 'a', 20, 'm') TABLE w",
            "SELECT 'a', 20, 'm' UNION SELECT 'a', 20, 'm'",
            "SELECT 'a' AS x, 20 AS x, 'm' AS x",
            "SELECT 'a'::name, 20::numeric, 'm'::varchar",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(tested(&format!("form-{number}"), query), a, "{query}");
        }
    }

    #[pg_test]
    fn values_have_their_verdicts_and_the_worst_is_first() {
        let query = "VALUES ('ok', 5::float8, 'm'), ('nan', 'NaN', 'm'), ('null', NULL, 'm'),
            ('warn', 6, 'm'), ('crit', 'infinity', NULL), ('low', '-infinity', 'm')";
        assert_eq!(
            tested("verdicts", query),
            "CRITICAL|crit|Infinity\nWARNING|warn|6|m\nNO DATA|nan|NaN|m\nNO DATA|null|m\n\
             OK|ok|5|m\nOK|low|-Infinity|m"
        );
        assert_eq!(
            tested("no-row", "SELECT 'a', 1, 'm' WHERE false"),
            "NO DATA|the query returned no row"
        );
        assert_eq!(
            text(
                "SELECT count(*)::text FROM crewsnow_ops.alert_evaluations WHERE rule = 'verdicts'"
            ),
            "0",
            "a trial changes nothing"
        );
    }

    #[pg_test]
    fn a_minimum_of_samples_needs_their_column() {
        let with_samples = |name: &str, query: &str| {
            insert(name, query)
                .replace("time_limit)", "time_limit, min_samples)")
                .replace("'2 seconds')", "'2 seconds', 3)")
        };
        let three = refused(&with_samples("samples-3", "SELECT 'a', 20, 'm'"));
        assert!(three.starts_with("42804 "), "{three}");
        let four = refused(&insert("samples-4", "SELECT 'a', 20, 'm', 5"));
        assert!(four.starts_with("42804 "), "{four}");
        run(&with_samples(
            "samples",
            "VALUES ('a', 20, 'm', 2), ('b', 20, 'm', 3), ('c', 20, 'm', NULL)",
        ));
        assert_eq!(lines("samples"), "CRITICAL|b|20|m\nNO DATA|a|20|m\nNO DATA|c|20|m");
    }

    #[pg_test]
    fn a_faulty_result_is_an_error_of_the_rule() {
        run("CREATE TABLE public.faulty (a int); CREATE SEQUENCE public.faulty_number;
             CREATE FUNCTION public.faulty_write() RETURNS text LANGUAGE plpgsql AS
                'BEGIN INSERT INTO public.faulty VALUES (1); RETURN 1; END';
             CREATE FUNCTION public.faulty_drop() RETURNS text LANGUAGE plpgsql AS
                'BEGIN DROP FUNCTION public.faulty_drop(); RETURN 1; END';
             CREATE FUNCTION public.faulty_rule() RETURNS text LANGUAGE plpgsql AS
                'BEGIN DELETE FROM crewsnow_ops.alert_rules; RETURN 1; END';
             CREATE FUNCTION public.faulty_copy() RETURNS text LANGUAGE plpgsql AS
                $f$ BEGIN COPY public.faulty FROM '/dev/null'; RETURN 1; END $f$;
             CREATE FUNCTION public.faulty_deep(int) RETURNS text LANGUAGE plpgsql AS
                'BEGIN RETURN public.faulty_deep($1 + 1); END'");
        for (number, (query, state)) in [
            ("SELECT NULL::text, 1, 'm'", "22004"),
            ("VALUES ('a', 1, 'm'), ('a', 2, 'm')", "21000"),
            ("SELECT repeat('a', 1001), 1, 'm'", "22001"),
            ("SELECT n::text, 1, 'm' FROM generate_series(1, 1001) AS n", "54000"),
            ("SELECT n::text, 1, 'm' FROM generate_series(1, 1000000) AS n", "54000"),
            ("SELECT 'a', 1 / (n - n), 'm' FROM generate_series(1, 2) AS n", "22012"),
            ("SELECT 'a', ('1e' || n)::numeric, 'm' FROM (VALUES (400)) AS v (n)", "22003"),
            ("SELECT 'a', 1, pg_sleep(60)::text", "57014"),
            ("SELECT 'a', nextval('public.faulty_number'), 'm'", "25006"),
            ("SELECT 'a', 1, public.faulty_write()", "25006"),
            ("SELECT 'a', 1, public.faulty_drop()", "25006"),
            ("SELECT 'a', 1, public.faulty_rule()", "25006"),
            ("SELECT 'a', 1, public.faulty_copy()", "25006"),
            ("SELECT 'a', 1, public.faulty_deep(1)", "54001"),
            ("SELECT 'a', 1, set_config('role', 'none', true)", "42501"),
            ("SELECT 'a', 1, set_config('transaction_read_only', 'off', true)", "25001"),
        ]
        .into_iter()
        .enumerate()
        {
            let start = std::time::Instant::now();
            let told = tested(&format!("faulty-{number}"), query);
            assert!(told.starts_with(&format!("ERROR|{state}")), "{query}: {told}");
            assert!(start.elapsed().as_secs() < 10, "{query}: {:?}", start.elapsed());
        }
        assert_eq!(text("SELECT count(*)::text FROM public.faulty"), "0");
        assert_eq!(text("SELECT is_called::text FROM public.faulty_number"), "false");
    }

    /// The rows of an evaluation are in memory at once: long texts must not be.
    #[pg_test]
    fn a_long_message_is_cut() {
        let query = "SELECT n::text, 1, repeat('é', 1000000) FROM generate_series(1, 100) AS n";
        run(&insert("long", query));
        let sql = "SELECT min(length(message)) || ' ' || max(length(message)) || ' ' || count(*)
            FROM crewsnow_ops.test_rule('long')";
        assert_eq!(text(sql), "4000 4000 100");
    }

    #[pg_test]
    fn anything_but_one_select_is_refused_at_once() {
        run("CREATE TABLE public.refused (a int); CREATE TEMPORARY TABLE fleeting (a int)");
        for (query, state) in [
            ("", "42601"),
            ("-- nothing", "42601"),
            (";", "42601"),
            ("SELECT 'a', 1, 'm'; SELECT 'a', 1, 'm'", "42601"),
            ("SELECT 'a', 1, 'm') AS r (a, b, c); DROP TABLE public.refused; --", "42601"),
            ("DO $x$ BEGIN END $x$", "42601"),
            ("EXPLAIN SELECT 'a', 1, 'm'", "42601"),
            ("SHOW search_path", "42601"),
            ("SET search_path = public", "42601"),
            ("VACUUM", "42601"),
            ("CALL public.x()", "42601"),
            ("COPY public.refused TO STDOUT", "42601"),
            ("DECLARE c CURSOR FOR SELECT 'a', 1, 'm'", "42601"),
            ("PREPARE p AS SELECT 'a', 1, 'm'", "42601"),
            ("INSERT INTO public.refused VALUES (1) RETURNING 'a', 1, 'm'", "42601"),
            (
                "WITH w AS (DELETE FROM public.refused RETURNING a) SELECT 'a', 1, 'm' FROM w",
                "0A000",
            ),
            ("SELECT 'a', 1, 'm' INTO public.made", "42601"),
            ("SELECT 'a', a, 'm' FROM public.refused FOR UPDATE", "0A000"),
            ("SELECT 'a', 1, $1", "42P02"),
            ("SELECT", "42804"),
            ("SELECT 'a'", "42804"),
            ("SELECT 'a', 1, 'm', 2", "42804"),
            ("SELECT 'a', 'b', 'm'", "42804"),
            ("SELECT 'a', true, 'm'", "42804"),
            ("SELECT 'a', now(), 'm'", "42804"),
            ("SELECT 'a', a, 'm' FROM refused", "42P01"),
            ("SELECT 'a', a, 'm' FROM pg_temp.fleeting", "0A000"),
            ("SELECT 'a', 1, public.nothing()", "42883"),
        ] {
            let error = refused(&insert("refused", query));
            assert!(error.starts_with(&format!("{state} ")), "{query}: {error}");
        }
        assert_eq!(text("SELECT to_regclass('public.made')::text"), "");
    }

    #[pg_test]
    fn a_refusal_names_the_place() {
        run("CREATE TABLE public.placed (a int)");
        for (query, place) in [
            ("SELECT 'a', b, 'm' FROM public.placed", "Line 1, column 13: SELECT 'a', b, 'm'"),
            ("SELECT 'é',\n   b, 'm'\nFROM public.placed", "Line 2, column 4: b, 'm'"),
            ("SELECT 'a', a, 'm'\nFORM public.placed", "Line 2, column 6: FORM public.placed"),
            ("b", "Line 1, column 1: b"),
        ] {
            let error = refused(&insert("placed", query));
            assert!(error.contains(place), "{query}: {error}");
        }
    }
}
