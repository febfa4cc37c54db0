CREATE SCHEMA workshop;
CREATE FUNCTION bad.callable() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
COMMENT ON FUNCTION bad.callable IS 'leak MEDIUM';
CREATE FUNCTION bad."Uncallable ""1""" () RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
REVOKE EXECUTE ON FUNCTION bad."Uncallable ""1""" () FROM PUBLIC;
COMMENT ON FUNCTION bad."Uncallable ""1""" IS 'leak LOW: no client role can make it run';
CREATE FUNCTION bad.on_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN RETURN NEW; END';
REVOKE EXECUTE ON FUNCTION bad.on_write() FROM PUBLIC;
COMMENT ON FUNCTION bad.on_write IS 'leak MEDIUM: client roles fire it';
CREATE TABLE good.written (id int);
GRANT UPDATE (id) ON good.written TO authenticated;
CREATE TRIGGER on_write AFTER UPDATE ON good.written FOR EACH ROW EXECUTE FUNCTION bad.on_write();
CREATE PROCEDURE bad.without_temp() LANGUAGE sql SECURITY DEFINER SET search_path = bad, pg_catalog
    AS 'SELECT 1';
COMMENT ON PROCEDURE bad.without_temp() IS 'leak LOW: temporary tables come first';
CREATE FUNCTION bad.plain() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON FUNCTION bad.plain IS 'leak INFO: a matter of style';

CREATE FUNCTION good.empty() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = ''
    AS 'SELECT 1';
CREATE FUNCTION good.last() RETURNS int
    LANGUAGE sql SECURITY DEFINER SET search_path = good, pg_temp AS 'SELECT 1';
CREATE FUNCTION good.catalog() RETURNS int
    LANGUAGE sql SECURITY DEFINER SET search_path TO 'pg_catalog', 'pg_temp' AS 'SELECT 1';
CREATE FUNCTION good.plain() RETURNS int LANGUAGE sql SET search_path = good AS 'SELECT 1';
CREATE AGGREGATE good.total (int) (SFUNC = int4pl, STYPE = int);
