LOCK TABLE @extschema@.processed_events IN SHARE MODE
