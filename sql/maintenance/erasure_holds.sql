-- $1 identifiers of a person. The holds that stand: id, and a sentence.
SELECT h.id::text,
    format('a legal hold of %s stands%s', to_char(h.placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
        to_char(h.ends_at AT TIME ZONE 'UTC', '" until "YYYY-MM-DD'))
FROM crewsnow_ops.legal_holds AS h
WHERE lower(h.user_id) = ANY (SELECT lower(i) FROM unnest($1::text[]) AS i)
    AND h.released_at IS NULL AND coalesce(h.ends_at > clock_timestamp(), true)
ORDER BY h.placed_at
