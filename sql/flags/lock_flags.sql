-- The lock that the UPDATE will need, before the row's: taken after it, it could wait for a restore that waits for the row.
LOCK TABLE @extschema@.feature_flags IN ROW EXCLUSIVE MODE
