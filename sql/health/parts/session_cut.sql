-- Joins the kind of the session s as k.kind, and its cheapest safe command as c.command.
CROSS JOIN LATERAL (
    SELECT
@session_kind@
        AS kind
) AS k
CROSS JOIN LATERAL (
    SELECT
@session_command@
        AS command
) AS c
