CREATE TABLE bad.t (tenant text);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON bad.t USING (tenant = current_setting('app.tenant', true));
CREATE FUNCTION bad.enter(p_tenant text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('app.tenant', lower(trim(p_tenant)), false); END $$;
COMMENT ON FUNCTION bad.enter IS 'leak HIGH';
CREATE FUNCTION bad."Log ""in""" (p jsonb) RETURNS text LANGUAGE sql
    AS $$ SELECT set_config( 'request.jwt.claims' , p::text, FALSE ) $$;
COMMENT ON FUNCTION bad."Log ""in""" IS 'leak HIGH';
CREATE FUNCTION bad.by_statement() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN SET request.jwt.claims = '{"sub": "x"}'; END $$;
COMMENT ON FUNCTION bad.by_statement IS 'leak HIGH';
CREATE FUNCTION bad.enter_loudly(p_tenant text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('App.Tenant', p_tenant, false); END $$;
COMMENT ON FUNCTION bad.enter_loudly IS 'leak HIGH: names of settings have no case';

CREATE FUNCTION good.enter(p_tenant text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('app.tenant', p_tenant, true); END $$;
CREATE FUNCTION good.other() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('app.theme', 'dark', false); END $$;
CREATE FUNCTION good.comment() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN -- set_config('app.tenant', 'x', false)
    SET LOCAL app.tenant = 'x'; END $$;
