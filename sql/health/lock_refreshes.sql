LOCK TABLE crewsnow_ops.matview_refreshes IN ROW EXCLUSIVE MODE NOWAIT
