SELECT f.flag_key FROM @extschema@.feature_flags AS f
