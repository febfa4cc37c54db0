-- Rows of crewsnow_ops.connections: one per role, application and database. Plain roles see the
-- names of other sessions but not their states: these count as hidden.
SELECT
    s.usename AS user_name,
    coalesce(nullif(s.application_name, ''), '(none)') AS application_name,
    s.datname AS database,
    count(*) AS connections,
    count(*) FILTER (WHERE s.state = 'active') AS active,
    count(*) FILTER (WHERE s.state = 'idle') AS idle,
    count(*) FILTER (WHERE s.state = 'idle in transaction') AS idle_in_transaction,
    count(*) FILTER (WHERE s.state = 'idle in transaction (aborted)') AS idle_in_failed_transaction,
    count(*) FILTER (WHERE s.state NOT IN ('active', 'idle', 'idle in transaction',
        'idle in transaction (aborted)')) AS other,
    count(*) FILTER (WHERE s.state IS NULL) AS hidden,
    count(*) FILTER (WHERE s.wait_event_type = 'Lock') AS waiting_for_lock,
    count(DISTINCT s.client_addr) AS client_addresses,
    min(s.xact_start) AS oldest_transaction,
    min(s.query_start) FILTER (WHERE s.state = 'active') AS oldest_active_query,
    min(s.state_change) FILTER (WHERE s.state = 'idle') AS longest_idle_since,
    max(s.backend_start) AS latest_login
FROM pg_stat_activity AS s
WHERE coalesce(s.backend_type, 'client backend') = 'client backend' AND s.usesysid IS NOT NULL
GROUP BY 1, 2, 3
ORDER BY 4 DESC, 1, 2, 3
