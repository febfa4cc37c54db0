CREATE FUNCTION bad.tenant() RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT current_setting('app.tenant', true) $$;
COMMENT ON FUNCTION bad.tenant IS 'leak CRITICAL';
CREATE FUNCTION bad."Me ""too""" () RETURNS uuid LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN auth.uid(); END';
COMMENT ON FUNCTION bad."Me ""too""" IS 'leak CRITICAL';
CREATE TABLE bad.t (id int, tenant text, user_id uuid);
CREATE FUNCTION bad.count_rows(p text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN (SELECT count(*) FROM bad.t WHERE tenant = p); END';
COMMENT ON FUNCTION bad.count_rows IS 'leak HIGH: reads a table';
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON bad.t FOR SELECT
    USING (tenant = bad.tenant() AND user_id = bad."Me ""too""" () AND bad.count_rows('x') > 0);

CREATE FUNCTION good.tenant() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT current_setting('app.tenant', true) $$;
CREATE FUNCTION good.clean(p text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(p)';
CREATE FUNCTION good.unused() RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT current_setting('app.tenant', true) $$;
CREATE TABLE good.t (id int, tenant text);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.t FOR SELECT USING (good.clean(tenant) = good.tenant());
