-- expect: MEDIUM default privileges of postgres on tables in bad
-- expect: MEDIUM default privileges of "Mig ""1""" on tables
-- expect: LOW default privileges of postgres on functions in bad
CREATE ROLE "Mig ""1""";
ALTER DEFAULT PRIVILEGES IN SCHEMA bad GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE "Mig ""1""" GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA bad GRANT EXECUTE ON FUNCTIONS TO anon;
-- Grants to service_role only, grants on sequences, and the built-in EXECUTE of PUBLIC.
ALTER DEFAULT PRIVILEGES IN SCHEMA good GRANT ALL ON TABLES TO service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA good GRANT ALL ON SEQUENCES TO anon;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO service_role;
