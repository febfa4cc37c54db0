-- $1 key and $2 id of a flag. The key of another flag that differs in case alone.
SELECT f.flag_key FROM @extschema@.feature_flags AS f
WHERE lower(f.flag_key) = lower($1) AND f.flag_key <> $1 AND f.id <> $2
LIMIT 1
