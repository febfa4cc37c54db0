-- Accepts, for a year, the one finding of the security audit in the application without leaks: it
-- is intended. Then records an audit, which the dashboard shows and crewsnow_ops.rls_drift compares
-- with.
SELECT crewsnow_ops.accept_finding(
    'public-read policy "Stations are public" on public.stations',
    'Ski resorts are public knowledge.', now() + interval '1 year'
);
SELECT crewsnow_ops.record_rls_audit();
