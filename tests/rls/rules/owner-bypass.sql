-- expect: CRITICAL table bad.notes | CRITICAL table bad."Group's" | HIGH role "Api ""2"""
-- expect: MEDIUM role app | MEDIUM role supabase_cache_admin
CREATE ROLE app LOGIN;
CREATE ROLE "Api ""2""" LOGIN;
CREATE ROLE owners NOLOGIN;
ALTER ROLE authenticated INHERIT;
GRANT owners TO authenticated;
GRANT anon TO "Api ""2""";
CREATE TABLE bad.notes (id int);
ALTER TABLE bad.notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE bad.notes OWNER TO anon;
CREATE TABLE bad."Group's" (id int);
ALTER TABLE bad."Group's" ENABLE ROW LEVEL SECURITY;
ALTER TABLE bad."Group's" OWNER TO owners;
CREATE TABLE bad.of_app (id int);
ALTER TABLE bad.of_app ENABLE ROW LEVEL SECURITY;
ALTER TABLE bad.of_app OWNER TO app;
CREATE TABLE bad.of_api (id int);
ALTER TABLE bad.of_api ENABLE ROW LEVEL SECURITY;
ALTER TABLE bad.of_api OWNER TO "Api ""2""";
CREATE ROLE supabase_cache_admin LOGIN;
CREATE TABLE bad.restored (id int);
ALTER TABLE bad.restored ENABLE ROW LEVEL SECURITY;
ALTER TABLE bad.restored OWNER TO supabase_cache_admin;

-- A role of the platform that owns a table in a schema of the platform.
CREATE ROLE supabase_auth_admin LOGIN;
ALTER TABLE auth.users OWNER TO supabase_auth_admin;
-- Forced row-level security. No row-level security. An owner that cannot log in, whose member does
-- not inherit.
CREATE ROLE quiet NOLOGIN;
CREATE ROLE guest LOGIN NOINHERIT;
GRANT quiet TO guest;
CREATE TABLE good.forced (id int);
ALTER TABLE good.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE good.forced OWNER TO anon;
CREATE TABLE good.plain (id int);
ALTER TABLE good.plain OWNER TO anon;
CREATE TABLE good.quiet (id int);
ALTER TABLE good.quiet ENABLE ROW LEVEL SECURITY;
ALTER TABLE good.quiet OWNER TO quiet;
