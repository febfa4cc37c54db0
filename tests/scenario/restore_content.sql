-- A database with an object of each kind that pg_dump knows, run with psql.
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION lo;
CREATE ROLE rich_app;
CREATE ROLE "Rich Owner";
CREATE SCHEMA shop AUTHORIZATION "Rich Owner";
CREATE SCHEMA "Odd ""Schema""";
GRANT USAGE ON SCHEMA shop TO rich_app WITH GRANT OPTION;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO rich_app;
ALTER DEFAULT PRIVILEGES FOR ROLE "Rich Owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE TYPE shop.state AS ENUM ('new','paid');
ALTER TYPE shop.state ADD VALUE 'mid' BEFORE 'paid';
CREATE DOMAIN shop.email AS citext CHECK (VALUE ~ '@') DEFAULT 'a@b';
CREATE DOMAIN shop.vc AS varchar(10) CHECK (VALUE IN ('a','b')) NOT NULL;
CREATE TYPE shop.fr AS RANGE (subtype=float8, subtype_diff=float8mi);
CREATE TYPE shop.pair AS (a int, b text COLLATE "C");
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
        CREATE COLLATION shop.de (
            provider = icu, locale = 'de-u-co-phonebk', deterministic = false);
    ELSE
        CREATE COLLATION shop.de FROM "C";
    END IF;
END $$;
CREATE COLLATION shop.libc FROM "C";
CREATE SEQUENCE shop.free START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 200 CYCLE;
SELECT nextval('shop.free') FROM generate_series(1,3);
CREATE SEQUENCE shop.unused;
SELECT setval('shop.unused', 77, false);
CREATE TABLE shop.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gone int, email
    shop.email UNIQUE, kind varchar(10) CHECK (kind IN ('a','b','c')), pair shop.pair, span
    shop.fr, st shop.state DEFAULT 'new', de text COLLATE shop.de, len int GENERATED ALWAYS AS
    (length(kind)) STORED, bal numeric(10,2) DEFAULT -1, money money, f float8, ts timestamptz
    DEFAULT now(), iv interval, oi oid, rc regclass, h hstore, j jsonb, x bytea, big text, arr
    int[] DEFAULT '{1,2}'::int[], CHECK (id > 0 AND (bal > -100 OR bal IS NULL)) NO INHERIT,
    EXCLUDE USING gist (id WITH =, span WITH &&));
ALTER TABLE shop.customer DROP COLUMN gone;
ALTER TABLE shop.customer ADD COLUMN later int DEFAULT 7 NOT NULL;
ALTER TABLE shop.customer OWNER TO "Rich Owner";
ALTER TABLE shop.customer ALTER big SET STORAGE EXTERNAL, ALTER j SET COMPRESSION pglz, ALTER f
    SET STATISTICS 500, ALTER kind SET (n_distinct=3);
ALTER TABLE shop.customer SET (fillfactor=70, autovacuum_enabled=off,
    toast.autovacuum_enabled=off);
INSERT INTO shop.customer (email, kind, pair, span, de, money, f, iv, oi, rc, h, j, x, big)
    SELECT 'u'||i||'@x', (array['a','b','c'])[1+i%3], ROW(i,'p')::shop.pair, shop.fr(i,i+1),
    'ä'||i, i::numeric::money, random()*1e-7, i*interval '1 day 3h', i,
    'shop.customer'::regclass, hstore('k',i::text), jsonb_build_object('a',i),
    decode(md5(i::text),'hex'), repeat(md5(i::text), 300) FROM generate_series(1,500) i;
DELETE FROM shop.customer WHERE id%7=0;
UPDATE shop.customer SET kind='c' WHERE id%11=0;
CREATE INDEX ON shop.customer (lower(kind)) WHERE kind = ANY (ARRAY['a','b']::varchar[]);
CREATE INDEX customer_expr ON shop.customer ((bal+1), kind DESC NULLS LAST) INCLUDE (f);
ALTER INDEX shop.customer_expr ALTER COLUMN 1 SET STATISTICS 99;
CREATE INDEX ON shop.customer USING gin (j jsonb_path_ops);
CREATE INDEX ON shop.customer USING gin (big gin_trgm_ops);
CREATE INDEX ON shop.customer USING brin (ts) WITH (pages_per_range=4);
CREATE INDEX ON shop.customer USING hash (kind);
ALTER TABLE shop.customer CLUSTER ON customer_pkey;
CREATE UNIQUE INDEX ri ON shop.customer (later, id);
ALTER TABLE shop.customer REPLICA IDENTITY USING INDEX ri;
CREATE STATISTICS shop.st1 (ndistinct, dependencies) ON kind, later FROM shop.customer;
CREATE STATISTICS shop.st2 ON (lower(kind)), (later+1) FROM shop.customer;
ALTER STATISTICS shop.st1 SET STATISTICS 33;
CREATE TABLE shop.orders (id serial, cid bigint REFERENCES shop.customer ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE
    (at);
CREATE TABLE shop.o1 PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.o2 (at date NOT NULL, cid bigint, dropme int, id int NOT NULL DEFAULT
    nextval('shop.orders_id_seq'));
ALTER TABLE shop.o2 DROP COLUMN dropme;
ALTER TABLE shop.orders ATTACH PARTITION shop.o2 FOR VALUES FROM ('2026-02-01') TO
    ('2026-03-01');
CREATE TABLE shop.o3 PARTITION OF shop.orders DEFAULT PARTITION BY LIST (id);
CREATE TABLE shop.o3a PARTITION OF shop.o3 FOR VALUES IN (1,2,3);
CREATE TABLE shop."O 3b" PARTITION OF shop.o3 DEFAULT;
INSERT INTO shop.orders (cid, at) SELECT 1+i%6, '2026-01-01'::date+i%100 FROM
    generate_series(1,1000) i;
CREATE TABLE shop.refs (id int PRIMARY KEY, oid int, oat date, FOREIGN KEY (oid, oat) REFERENCES
    shop.orders);
ALTER TABLE shop.refs ADD CONSTRAINT nv CHECK (id > 0) NOT VALID;
ALTER TABLE shop.refs ADD CONSTRAINT nvf FOREIGN KEY (oid) REFERENCES shop.refs(id) NOT VALID;
CREATE INDEX ON shop.orders (cid);
CREATE INDEX part_only ON ONLY shop.orders (at);
CREATE TABLE parent1 (a int, b text);
CREATE TABLE child1 (z int, b text) ;
ALTER TABLE child1 ADD a int;
ALTER TABLE child1 INHERIT parent1;
ALTER TABLE parent1 ADD late int DEFAULT 3;
CREATE TABLE child2 (q int) INHERITS (parent1);
ALTER TABLE child2 ALTER b SET DEFAULT 'x';
ALTER TABLE parent1 ADD CONSTRAINT pc CHECK (a < 1000);
ALTER TABLE parent1 ADD last int;
INSERT INTO parent1 VALUES (1,'p');
INSERT INTO child1 (z,b,a) VALUES (1,'c',2),(1,'c',2);
INSERT INTO child2 VALUES (3,'x',4,5);
CREATE TABLE "Odd ""Schema"""."we""ird
 name:x" ("Col 1" int, "sel""ect" text, ":y" int);
INSERT INTO "Odd ""Schema"""."we""ird
 name:x" VALUES (1,'it''s "\ ü',3);
CREATE TABLE "Odd ""Schema"""."back\slash" ("c\d" text DEFAULT E'a\\b');
INSERT INTO "Odd ""Schema"""."back\slash" DEFAULT VALUES;
CREATE TABLE public.nocols ();
INSERT INTO nocols DEFAULT VALUES;
INSERT INTO nocols DEFAULT VALUES;
CREATE UNLOGGED TABLE ul (a int);
INSERT INTO ul VALUES (1);
CREATE TABLE typed OF shop.pair;
ALTER TABLE typed ALTER a SET DEFAULT 5;
CREATE VIEW shop.v WITH (security_barrier) AS SELECT c.id, c.kind IN ('a','b') AS ab, o.id AS
    oid, CASE WHEN c.bal > -1 THEN 'x'::varchar ELSE 'y' END k FROM shop.customer c LEFT JOIN
    shop.orders o ON o.cid = c.id WHERE c.kind::text LIKE 'a%' OR c.kind = ANY ('{a,b}');
CREATE VIEW shop.v2 AS SELECT * FROM shop.customer JOIN shop.refs USING (id);
CREATE VIEW shop.v3 AS SELECT id, kind FROM shop.customer WHERE kind='a' WITH LOCAL CHECK
    OPTION;
ALTER VIEW shop.v3 ALTER kind SET DEFAULT 'a';
CREATE VIEW shop.v4 AS WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM t WHERE n<5)
    SELECT n, row_number() OVER (PARTITION BY n%2 ORDER BY n) , (SELECT max(x) FROM (VALUES
    (1),(2)) s(x)), ARRAY(SELECT 1) FROM t;
CREATE VIEW shop.v5 AS TABLE shop.customer;
CREATE RULE r AS ON INSERT TO shop.v5 DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW shop.mv AS SELECT kind, count(*) n FROM shop.customer GROUP BY 1;
CREATE UNIQUE INDEX ON shop.mv (kind);
CREATE MATERIALIZED VIEW shop.mv0 AS SELECT 1 a WITH NO DATA;
CREATE FUNCTION shop.f(a int, b text DEFAULT 'x', VARIADIC c int[] DEFAULT '{}') RETURNS TABLE
    (q int, r text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path=pg_catalog SET
    work_mem='1MB' ROWS 5 COST 7 AS $$ SELECT 1, 'it''s' $$;
CREATE FUNCTION shop.std(a int) RETURNS text LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC SELECT CASE WHEN a IN (1,2) THEN 'x'::varchar ELSE 'y'::varchar END; END ;
CREATE PROCEDURE shop.p(INOUT a int) LANGUAGE plpgsql AS $$ BEGIN a := 1; END $$;
REVOKE EXECUTE ON PROCEDURE shop.p FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE shop.p TO rich_app;
CREATE AGGREGATE shop.mysum(int) (sfunc=int4pl, stype=int, initcond='0', combinefunc=int4pl,
    parallel=safe);
CREATE FUNCTION shop.trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER t1 BEFORE UPDATE OF kind ON shop.customer FOR EACH ROW WHEN (old.kind IN
    ('a','b')) EXECUTE FUNCTION shop.trg('a','b');
CREATE TRIGGER t2 AFTER INSERT ON shop.orders REFERENCING NEW TABLE AS nt FOR EACH STATEMENT
    EXECUTE FUNCTION shop.trg();
ALTER TABLE shop.customer DISABLE TRIGGER t1;
CREATE TRIGGER t3 BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.trg();
ALTER TABLE shop.o1 DISABLE TRIGGER t3;
CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON shop.refs DEFERRABLE FOR EACH ROW EXECUTE FUNCTION
    shop.trg();
ALTER TABLE shop.refs ENABLE ALWAYS TRIGGER ct;
CREATE RULE noupd AS ON UPDATE TO shop.refs WHERE new.id < 0 DO INSTEAD NOTHING;
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.customer FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.customer FOR SELECT TO rich_app, "Rich Owner" USING (kind IN ('a','b')
    OR email = current_user::text::citext);
CREATE POLICY rest ON shop.customer AS RESTRICTIVE USING (true) WITH CHECK (kind = 'a');
ALTER TABLE shop.refs ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON shop.customer TO rich_app;
GRANT UPDATE (kind), SELECT (id) ON shop.customer TO rich_app WITH GRANT OPTION;
GRANT SELECT ON shop.refs TO PUBLIC;
REVOKE ALL ON shop.refs FROM CURRENT_USER;
GRANT USAGE ON SEQUENCE shop.free TO rich_app;
GRANT USAGE ON TYPE shop.state TO rich_app;
REVOKE USAGE ON TYPE shop.fr FROM PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO rich_app;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO rich_app;
CREATE FUNCTION shop.et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER et ON ddl_command_start WHEN TAG IN ('CREATE TABLE','DROP TABLE') EXECUTE
    FUNCTION shop.et();
ALTER EVENT TRIGGER et DISABLE;
CREATE PUBLICATION pub FOR TABLE shop.customer (id, kind) WHERE (id > 3 AND kind::text <> 'b'),
    shop.refs WITH (publish='insert');
CREATE PUBLICATION puball FOR ALL TABLES WITH (publish='insert');
CREATE PUBLICATION pubs FOR TABLES IN SCHEMA shop WITH (publish_via_partition_root);
CREATE SERVER fs FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere', dbname 'x');
CREATE USER MAPPING FOR rich_app SERVER fs OPTIONS (user 'u', password 'sekret');
CREATE USER MAPPING FOR PUBLIC SERVER fs;
CREATE FOREIGN TABLE shop.ft (a int OPTIONS (column_name 'b'), c text) SERVER fs OPTIONS
    (table_name 't');
GRANT USAGE ON FOREIGN SERVER fs TO rich_app;
CREATE OPERATOR shop.=== (LEFTARG=int, RIGHTARG=int, FUNCTION=int4eq);
CREATE OPERATOR FAMILY shop.of USING btree;
CREATE OPERATOR CLASS shop.oc FOR TYPE int4 USING btree FAMILY shop.of AS OPERATOR 1 <, OPERATOR
    3 =, FUNCTION 1 btint4cmp(int4,int4);
CREATE CAST (shop.pair AS text) WITH INOUT AS ASSIGNMENT;
CREATE TEXT SEARCH CONFIGURATION shop.tsc (COPY=english);
CREATE TEXT SEARCH DICTIONARY shop.tsd (TEMPLATE=simple, stopwords=english);
CREATE CONVERSION shop.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE am2 (a int) USING heap2;
COMMENT ON TABLE shop.customer IS 'c1';
COMMENT ON COLUMN shop.customer.kind IS 'c2';
COMMENT ON SCHEMA public IS 'mine';
COMMENT ON PROCEDURE shop.p IS 'c3';
COMMENT ON POLICY own ON shop.customer IS 'c4';
COMMENT ON CONSTRAINT nv ON shop.refs IS 'c5';
COMMENT ON TRIGGER t1 ON shop.customer IS 'c6';
COMMENT ON EXTENSION hstore IS 'c7';
COMMENT ON SERVER fs IS 'c8';
COMMENT ON CONSTRAINT vc_check ON DOMAIN shop.vc IS 'c9';
SELECT lo_from_bytea(0, decode(repeat('00ff',5000),'hex'));
SELECT lo_create(0);
SELECT lo_put(lo_create(424242), 50000, 'abc'::bytea);
GRANT SELECT ON LARGE OBJECT 424242 TO rich_app;
COMMENT ON LARGE OBJECT 424242 IS 'lo';
CREATE TABLE los (id int, f lo);
INSERT INTO los VALUES (1, 424242);
SELECT update_feature_flag('premium_subscriptions', true);
SELECT update_feature_flag('premium_subscriptions', false);
SELECT crewsnow_ops.record_edge_call('checkout', n, 200, p_payload => jsonb_build_object('a',n))
    FROM generate_series(1,50) n;
SELECT crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', n%2=0, 'boom') FROM
    generate_series(1,20) n;
SELECT crewsnow_ops.roll_up_events();
SELECT crewsnow_ops.sample_health();
CREATE INDEX ON shop.o1 (cid);
