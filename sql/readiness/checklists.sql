SELECT DISTINCT i.checklist FROM crewsnow_ops.checklist_items AS i ORDER BY i.checklist
