-- expect: LOW default privileges of postgres on tables in bad
-- expect: LOW default privileges of "Mig ""1""" on tables
-- expect: LOW default privileges of supabase_admin on tables in bad
-- expect: LOW default privileges of postgres on functions in bad
CREATE ROLE "Mig ""1""";
ALTER DEFAULT PRIVILEGES IN SCHEMA bad GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE "Mig ""1""" GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA bad GRANT EXECUTE ON FUNCTIONS TO anon;
-- A role of the platform that owns a table of the application, and one that owns none.
CREATE ROLE supabase_admin;
CREATE ROLE supabase_etl_admin;
CREATE TABLE bad.restored (id int);
ALTER TABLE bad.restored OWNER TO supabase_admin;
CREATE TABLE auth.flow_state (id int);
ALTER TABLE auth.flow_state OWNER TO supabase_etl_admin;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin, supabase_etl_admin IN SCHEMA bad
    GRANT SELECT ON TABLES TO anon;
-- Grants to service_role only, grants on sequences, and the built-in EXECUTE of PUBLIC.
ALTER DEFAULT PRIVILEGES IN SCHEMA good GRANT ALL ON TABLES TO service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA good GRANT ALL ON SEQUENCES TO anon;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO service_role;
