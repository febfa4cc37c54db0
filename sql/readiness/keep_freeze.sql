INSERT INTO crewsnow_ops.freezes (id, starts_at, ends_at, reason, created_by)
VALUES ($1, $2, $3, $4, $5) RETURNING reason
