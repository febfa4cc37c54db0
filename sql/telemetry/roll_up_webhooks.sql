-- $1 limit of journal rows
WITH
moved AS (
    DELETE FROM crewsnow_ops.webhook_journal
    WHERE ctid = ANY (ARRAY(SELECT j.ctid FROM crewsnow_ops.webhook_journal AS j LIMIT $1))
    RETURNING minute, events, failed
),
summed AS (SELECT m.minute, sum(m.events) AS events, sum(m.failed) AS failed FROM moved AS m
    GROUP BY m.minute),
written AS (
    INSERT INTO crewsnow_ops.webhook_rollups AS r (minute, events, failed)
    SELECT s.minute, s.events, s.failed FROM summed AS s
    ON CONFLICT (minute) DO UPDATE SET events = r.events + excluded.events,
        failed = r.failed + excluded.failed
)
SELECT count(*) FROM moved
