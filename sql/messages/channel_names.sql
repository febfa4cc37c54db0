-- The names of the channels
SELECT c.name FROM crewsnow_ops.channels AS c ORDER BY c.name
