-- $1 system identifier, $2 database. Whether another database made the ledger, and it was not
-- replayed here since.
SELECT EXISTS (
    SELECT FROM (
        SELECT s.system_identifier, s.database, s.created_at AS made_at
        FROM crewsnow_ops.erasure_salts AS s
        UNION ALL
        SELECT r.system_identifier, r.database, r.executed_at
        FROM crewsnow_ops.erasure_requests AS r WHERE r.executed_at IS NOT NULL
    ) AS m
    WHERE (m.system_identifier <> $1 OR m.database <> $2)
        AND NOT EXISTS (
            SELECT FROM crewsnow_ops.erasure_replays AS p
            WHERE p.system_identifier = $1 AND p.database = $2 AND p.replayed_at >= m.made_at
        )
)
