INSERT INTO crewsnow_ops.decisions (
    id, gate, release, decision, is_go, readiness_score, blockers, warnings,
    reasons, next_actions, inputs, decided_at, decided_by, valid_until
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
