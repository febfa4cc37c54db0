-- $1 end of the period, $2 row limit. Counted events of the default partition, which stays.
DELETE FROM crewsnow_ops.event_log_default
WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM crewsnow_ops.event_log_default AS e
    WHERE e.created_at < $1 LIMIT $2))
