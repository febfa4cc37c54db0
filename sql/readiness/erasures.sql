-- The number of erasures, an objection and the command against it
SELECT o.erasures, o.objection, o.command FROM crewsnow_ops.erasure_objection() AS o
