CREATE FUNCTION private.me() RETURNS uuid LANGUAGE plpgsql AS 'BEGIN RETURN auth.uid(); END';
CREATE FUNCTION private.note() RETURNS bool LANGUAGE plpgsql
    AS 'BEGIN PERFORM nextval(''x''); RETURN true; END';
CREATE TABLE bad.t (id int, a uuid);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY "each ""row""" ON bad.t USING (a = private.me());
COMMENT ON POLICY "each ""row""" ON bad.t IS 'leak LOW';
CREATE POLICY noting ON bad.t USING (private.note());
COMMENT ON POLICY noting ON bad.t IS 'leak LOW: the function must be VOLATILE';

CREATE FUNCTION private.me_stable() RETURNS uuid LANGUAGE plpgsql STABLE
    AS 'BEGIN RETURN auth.uid(); END';
CREATE TABLE good.t (id int, a uuid);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.t USING (a = private.me_stable());
