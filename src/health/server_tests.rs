//! Health in a running server.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    #[pg_test]
    fn every_check_answers() {
        let wrong = Spi::get_one::<String>(
            "SELECT string_agg(concat_ws(' ', metric, status, evidence), E'\\n') FROM crewsnow_ops.full_health_check()
             WHERE status NOT IN ('OK', 'WARNING', 'CRITICAL', 'SKIPPED') OR (status = 'SKIPPED' AND evidence IS NULL)",
        );
        assert_eq!(wrong, Ok(None));
    }

    /// Somewhere else than in public, the runbook's own names need their schema.
    #[pg_test]
    fn commands_can_be_typed_wherever_the_extension_is() {
        use crate::health::report::typable;
        let command = || "SELECT * FROM analyze_slow_queries();".to_owned();
        assert_eq!(typable(command(), "public"), command());
        assert_eq!(typable(command(), "Ops"), "SELECT * FROM \"Ops\".analyze_slow_queries();");
    }

    /// A dropped view's oid may become another's.
    #[pg_test]
    fn dropped_views_are_forgotten() {
        Spi::run("CREATE MATERIALIZED VIEW gone AS SELECT 1; DROP MATERIALIZED VIEW gone; CREATE MATERIALIZED VIEW kept AS SELECT 1")
            .expect("views");
        let known = Spi::get_one::<String>(
            "SELECT string_agg(relid::regclass::text, ' ') FROM crewsnow_ops.matview_refreshes",
        );
        assert_eq!(known, Ok(Some("kept".to_owned())));
    }
}
