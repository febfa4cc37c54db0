-- Approves the present state of the criterion $1 in the name of $2, unless $2 changed it.
-- Returns the authors of the changes.
WITH criterion AS (
    SELECT c.name, c.changed_by_users FROM crewsnow_ops.criteria AS c
    WHERE c.name = $1 AND c.original IS NOT NULL
    FOR UPDATE
), approved AS (
    UPDATE crewsnow_ops.criteria AS c
    SET approved_by = $2, approved_at = pg_catalog.clock_timestamp()
    FROM criterion WHERE c.name = criterion.name AND $2 <> ALL (criterion.changed_by_users)
)
SELECT criterion.changed_by_users FROM criterion
