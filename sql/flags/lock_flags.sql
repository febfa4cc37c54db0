-- The table lock that the UPDATE needs, taken before the row lock: while this session waits for it,
-- no other waits for the row.
LOCK TABLE @extschema@.feature_flags IN ROW EXCLUSIVE MODE
