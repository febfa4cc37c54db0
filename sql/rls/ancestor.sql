-- $1 table. The root of its partition or inheritance tree, or the table itself.
WITH RECURSIVE above AS (
    SELECT $1 AS relid, 0 AS distance
    UNION ALL
    SELECT h.inhparent, a.distance + 1 FROM above AS a JOIN pg_inherits AS h ON h.inhrelid = a.relid
        WHERE a.distance < 32
)
SELECT a.relid FROM above AS a ORDER BY a.distance DESC LIMIT 1
