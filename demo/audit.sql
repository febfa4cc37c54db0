-- What the security audit finds in the clean application is one thing, and it is meant: accepted for a year, as somebody would have done.
-- Then an audit is kept, so that the dashboard has one and crewsnow_ops.rls_drift something to compare with.
SELECT crewsnow_ops.accept_finding(
    'public-read policy "Stations are public" on public.stations', 'Ski resorts are public knowledge.', now() + interval '1 year'
);
SELECT crewsnow_ops.record_rls_audit();
