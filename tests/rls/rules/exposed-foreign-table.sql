CREATE FOREIGN DATA WRAPPER far;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER far;
CREATE FOREIGN TABLE bad."Far ""away""" (id int) SERVER elsewhere;
GRANT SELECT ON bad."Far ""away""" TO anon;
COMMENT ON FOREIGN TABLE bad."Far ""away""" IS 'leak HIGH';
CREATE FOREIGN TABLE bad.inbox (id int) SERVER elsewhere;
GRANT INSERT (id) ON bad.inbox TO PUBLIC;
COMMENT ON FOREIGN TABLE bad.inbox IS 'leak HIGH';

CREATE FOREIGN TABLE good.far (id int) SERVER elsewhere;
GRANT SELECT ON good.far TO service_role;
CREATE FOREIGN TABLE private.far (id int) SERVER elsewhere;
GRANT SELECT ON private.far TO anon;
CREATE TABLE good.near (id int);
GRANT SELECT ON good.near TO anon;
