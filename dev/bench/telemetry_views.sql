-- The views without a rival. :what is events or webhooks, :when names the case.
\i dev/bench/telemetry_wait.sql
SELECT :'what' = 'events' AS events \gset
\if :events
CALL bench.compare('error_rate_monitoring, ' || :'when',
    'SELECT * FROM error_rate_monitoring', '', :rounds);
CALL bench.compare('edge_functions_monitoring, ' || :'when',
    'SELECT * FROM edge_functions_monitoring', '', :rounds);
CALL bench.compare('dashboard, ' || :'when',
    'SELECT * FROM crewsnow_ops.dashboard', '', :rounds);
\else
CALL bench.compare('stripe_webhook_monitoring, ' || :'when',
    'SELECT * FROM stripe_webhook_monitoring', '', :rounds);
\endif
