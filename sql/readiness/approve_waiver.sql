-- Approves the open waiver $1 in the name of $2, unless $2 requested it. Returns the requester.
WITH waiver AS (
    SELECT w.id, w.requested_by FROM crewsnow_ops.waivers AS w
    WHERE w.id = $1 AND w.revoked_at IS NULL AND w.approved_at IS NULL
        AND w.expires_at > pg_catalog.clock_timestamp()
    FOR UPDATE
), approved AS (
    UPDATE crewsnow_ops.waivers AS w
    SET approved_by = $2, approved_at = pg_catalog.clock_timestamp()
    FROM waiver WHERE w.id = waiver.id AND waiver.requested_by <> $2
)
SELECT waiver.requested_by FROM waiver
