-- $1 ids of flags; NULL for all. In one order, so that two restores never block each other.
SELECT f.id FROM @extschema@.feature_flags AS f
WHERE $1 IS NULL OR f.id = ANY ($1)
ORDER BY f.id
@wait@
