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
}
