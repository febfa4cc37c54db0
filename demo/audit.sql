-- Accepts, for a year, the findings of the security audit in the application without leaks: they
-- are intended. Then records an audit, which the dashboard shows and crewsnow_ops.rls_drift
-- compares with.
SELECT crewsnow_ops.accept_finding(
    'public-read policy "Stations are public" on public.stations',
    'Ski resorts are public knowledge.', now() + interval '1 year'
);
SELECT crewsnow_ops.accept_finding(
    'shared-write table public.messages',
    'The other member of a match marks messages as read.', now() + interval '1 year'
);
SELECT crewsnow_ops.accept_finding(
    'shared-write table public.group_members',
    'The owner of a group removes members.', now() + interval '1 year'
);
SELECT crewsnow_ops.record_rls_audit();
