-- Flags and their trail may be restored side by side; both remove untouched launch flags, and do it one after the other.
LOCK TABLE crewsnow_ops.launch_flags IN SHARE ROW EXCLUSIVE MODE
