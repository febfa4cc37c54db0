-- The table lock that the UPDATE needs, taken before the row lock. Taken after it, it could
-- deadlock with a restore that waits for the row.
LOCK TABLE @extschema@.feature_flags IN ROW EXCLUSIVE MODE
