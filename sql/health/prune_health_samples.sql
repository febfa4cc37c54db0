-- Deletes samples too old for every report, and samples in the future, which remain after the clock
-- was set back.
WITH
counters AS (
    DELETE FROM crewsnow_ops.health_samples AS s
    WHERE s.sampled_at NOT BETWEEN clock_timestamp() - interval '65 minutes'
        AND clock_timestamp() + interval '1 second'
)
DELETE FROM crewsnow_ops.statement_samples AS s
WHERE s.sampled_at NOT BETWEEN clock_timestamp() - interval '125 minutes'
    AND clock_timestamp() + interval '1 second'
