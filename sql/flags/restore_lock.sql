LOCK TABLE @extschema@.feature_flags IN SHARE ROW EXCLUSIVE MODE
