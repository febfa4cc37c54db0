-- Functions of the other files of this directory: hashed numbers instead of random ones, and a
-- clock.

-- u: uniform in [0, 1). z: standard normal. pick: the element at a number in [0, 1).
-- id: the uuid of the i-th object of a kind.
CREATE FUNCTION pg_temp.u(label text, i bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((hashint8extended(i, hashtextextended(label, 42)) >> 12) & 4503599627370495)
        ::double precision / 4503599627370496
$$;
CREATE FUNCTION pg_temp.z(label text, i bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sqrt(-2 * ln(1 - pg_temp.u(label, i))) * cos(2 * pi() * pg_temp.u(label || ' angle', i))
$$;
CREATE FUNCTION pg_temp.pick(choices text[], x double precision) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT choices[1 + floor(x * cardinality(choices))::integer]
$$;
CREATE FUNCTION pg_temp.id(kind text, i bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT md5('crewsnow:' || kind || ':' || i)::uuid
$$;
-- draw_user: the number of a user, 0 to 4999. A few users are drawn often, most of them rarely.
CREATE FUNCTION pg_temp.draw_user(label text, i bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (floor(5000 * power(pg_temp.u(label, i), 1.7))::integer * 2731 + length(label) * 17)
        % 5000
$$;

-- The clock: 16,384 steps through the last 91 days (13 weeks). Steps are short in busy hours
-- (evenings, weekends, recent weeks) and long at night. A position x in [0, 1) is a time within
-- step floor(x * 16384); later positions are later times.
CREATE TEMP TABLE clock ON COMMIT DROP AS
WITH hours AS (
    -- The middle of each hour decides its local hour of day.
    SELECT hour, starts, (starts + interval '30 minutes') AT TIME ZONE 'Europe/Zurich' AS local
    FROM generate_series(0, 2183) AS hour,
        LATERAL (SELECT now() - (2184 - hour) * interval '1 hour' AS starts) AS position
), weighted AS (
    SELECT hour, starts,
        (ARRAY[8, 4, 2, 1, 1, 2, 8, 20, 28, 24, 22, 28, 45, 38, 26, 28, 42, 62, 78, 88, 98, 92, 66,
          28])
            [1 + extract(hour FROM local)::integer]
        * (ARRAY[1, 0.95, 1, 1.05, 1.2, 1.4, 1.35])[extract(isodow FROM local)::integer]
        * (0.6 + 0.4 * hour / 2184) AS weight
    FROM hours
), cumulated AS (
    SELECT starts, weight / sum(weight) OVER () AS share,
        (sum(weight) OVER (ORDER BY hour) - weight) / sum(weight) OVER () AS before
    FROM weighted
), steps AS (
    SELECT step, min(starts + (step / 16384.0 - before) / share * interval '1 hour') AS starts
    FROM cumulated, generate_series(ceil(before * 16384)::integer,
        ceil((before + share) * 16384)::integer - 1) AS step
    GROUP BY step
)
SELECT step, starts, lead(starts, 1, now()) OVER (ORDER BY step) - starts AS lasts FROM steps
    WHERE step < 16384;
ALTER TABLE clock ADD PRIMARY KEY (step);
ANALYZE clock;
-- at: the time of a position. Large statements join the clock instead, which is faster.
CREATE FUNCTION pg_temp.at(x double precision) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT starts + (x * 16384 - step) * lasts FROM clock
        WHERE step = least(16383, floor(x * 16384)::integer)
$$;
