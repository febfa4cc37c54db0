//! Tests of the health checks in a running server.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    #[pg_test]
    fn every_check_returns_a_status() {
        let wrong = Spi::get_one::<String>(
            "SELECT string_agg(concat_ws(' ', metric, status, evidence), E'\\n')
             FROM crewsnow_ops.full_health_check()
             WHERE status NOT IN ('OK', 'WARNING', 'CRITICAL', 'SKIPPED')
                OR (status = 'SKIPPED' AND evidence IS NULL)",
        );
        assert_eq!(wrong, Ok(None));
    }

    /// In a server, because the checks lead to functions of it.
    #[pg_test]
    fn lists_of_checks_name_checks_that_exist() {
        use crate::health::checks::registry::{FAST, HYGIENE};
        use crate::health::context::{OF_TABLES, WITHOUT_FACTS};
        use crate::health::harm;
        let known = |name: &&str| FAST.iter().chain(HYGIENE).any(|check| check.metric == *name);
        let lists = [&harm::NOW[..], &harm::LATER, &OF_TABLES, &WITHOUT_FACTS];
        let unknown: Vec<&str> =
            lists.into_iter().flatten().copied().filter(|name| !known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[pg_test]
    fn commands_name_the_schema() {
        use crate::health::report::typable;
        let command = || "SELECT * FROM analyze_slow_queries();".to_owned();
        let qualified = "SELECT * FROM public.analyze_slow_queries();";
        assert_eq!(typable(command(), "public"), qualified);
        assert_eq!(typable(command(), "Ops"), "SELECT * FROM \"Ops\".analyze_slow_queries();");
    }

    /// The OID of a dropped view may be reused.
    #[pg_test]
    fn dropped_views_are_forgotten() {
        Spi::run(
            "CREATE MATERIALIZED VIEW gone AS SELECT 1; DROP MATERIALIZED VIEW gone;
             CREATE MATERIALIZED VIEW kept AS SELECT 1",
        )
        .expect("views");
        let recorded = Spi::get_one::<String>(
            "SELECT string_agg(relid::regclass::text, ' ') FROM crewsnow_ops.matview_refreshes",
        );
        assert_eq!(recorded, Ok(Some("kept".to_owned())));
    }
}
