-- expect: CRITICAL role anon | HIGH role authenticated | HIGH role "Api ""gate""" | MEDIUM role ops
-- expect: INFO role authenticator | INFO role reporting
CREATE ROLE boss NOLOGIN SUPERUSER;
CREATE ROLE helpers NOLOGIN BYPASSRLS;
ALTER ROLE anon BYPASSRLS;
CREATE ROLE between NOLOGIN;
GRANT helpers TO between;
GRANT between TO authenticated;
CREATE ROLE "Api ""gate""" LOGIN NOINHERIT;
GRANT boss, anon TO "Api ""gate""";
CREATE ROLE ops LOGIN;
GRANT between TO ops;
CREATE ROLE reporting LOGIN BYPASSRLS;
-- A role with BYPASSRLS that cannot log in and has no members. A role that may log in and is a
-- member of no role.
CREATE ROLE asleep NOLOGIN BYPASSRLS;
CREATE ROLE plain LOGIN;
