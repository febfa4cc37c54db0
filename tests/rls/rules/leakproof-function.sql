CREATE FUNCTION bad."Same ""text""" (text, text) RETURNS bool LANGUAGE plpgsql LEAKPROOF
    AS 'BEGIN RETURN $1 = $2; END';
COMMENT ON FUNCTION bad."Same ""text""" IS 'leak MEDIUM';
CREATE FUNCTION bad.hidden(int) RETURNS bool LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT $1 > 0';
REVOKE EXECUTE ON FUNCTION bad.hidden FROM PUBLIC;
COMMENT ON FUNCTION bad.hidden IS 'leak LOW: clients cannot call it';

CREATE FUNCTION good.plain(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
