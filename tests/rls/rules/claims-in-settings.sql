-- expect: HIGH role authenticator in database rule | HIGH database rule | HIGH role "App ""1"""
-- expect: HIGH role anon | LOW role quiet | HIGH role mixed
-- expect: HIGH role flagged
CREATE ROLE "App ""1""" LOGIN;
CREATE TABLE bad.tenants (id int, tenant text);
ALTER TABLE bad.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad.tenants USING (tenant = current_setting('app.tenant', true));
ALTER ROLE authenticator IN DATABASE rule SET "request.jwt.claims" =
    '{"sub": "00000000-0000-0000-0000-000000000001"}';
ALTER DATABASE rule SET "request.jwt.claim.sub" = '00000000-0000-0000-0000-000000000001';
ALTER ROLE "App ""1""" SET app.tenant = 'x';
ALTER DATABASE rule SET app.tenant = 'x';
-- PostgREST applies the settings of the role it becomes to the request.
ALTER ROLE anon SET app.tenant = 'x';
CREATE ROLE quiet NOLOGIN;
ALTER ROLE quiet SET app.tenant = 'x';
-- Names of settings have no case.
CREATE ROLE mixed LOGIN;
CREATE TABLE bad.rooms (id int, room text);
ALTER TABLE bad.rooms ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bad.rooms USING (room = current_setting('App.Room', true));
ALTER ROLE mixed SET app.room = 'x';
-- A value that the policy compares the setting with.
CREATE ROLE flagged LOGIN;
ALTER ROLE flagged SET app.flag = 'on';

-- Settings that do not carry the identity.
ALTER ROLE authenticated SET statement_timeout = '8s';
ALTER ROLE authenticator SET app.theme = 'dark';
ALTER DATABASE rule SET search_path = public;
-- A value that the policy does not accept.
CREATE TABLE good.flags (id int, body text);
ALTER TABLE good.flags ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.flags USING (current_setting('app.flag', true) = 'on');
ALTER ROLE authenticated SET app.flag = 'off';
