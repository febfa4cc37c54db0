SELECT i.checklist, i.item, i.phase, i.due_within, i.task, i.command
FROM crewsnow_ops.checklist_items AS i
WHERE i.checklist = $1 OR $1 IS NULL
ORDER BY i.checklist, i.position, i.item
