-- The views alone, over ten times as many. :what is events or webhooks.
\i dev/bench/telemetry_wait.sql
SELECT :'what' = 'events' AS events \gset
\if :events
CALL bench.compare('error_rate_monitoring, ten times as many', 'SELECT * FROM error_rate_monitoring', '', :rounds);
CALL bench.compare('edge_functions_monitoring, ten times as many', 'SELECT * FROM edge_functions_monitoring', '', :rounds);
CALL bench.compare('dashboard, ten times as many', 'SELECT * FROM crewsnow_ops.dashboard', '', :rounds);
\else
CALL bench.compare('stripe_webhook_monitoring, ten times as many', 'SELECT * FROM stripe_webhook_monitoring', '', :rounds);
\endif
