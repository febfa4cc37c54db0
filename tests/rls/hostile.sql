-- Names with quotes, percent signs, brackets and backslashes everywhere. Every rule and every
-- remediation must run.
CREATE SCHEMA "we""ird (sch%sema) \1 [a-z]*";
GRANT USAGE ON SCHEMA "we""ird (sch%sema) \1 [a-z]*" TO anon, authenticated;
SET search_path = "we""ird (sch%sema) \1 [a-z]*", public;
CREATE ROLE "ro%le ""(x)\";
CREATE TABLE "t%s ""(\d+" ("user%I_id(" uuid REFERENCES auth.users, "e""mail)" text UNIQUE,
    "tenant_id" text, "select" int, "pass""word" text, password text);
ALTER TABLE "t%s ""(\d+" ENABLE ROW LEVEL SECURITY;
GRANT ALL ON "t%s ""(\d+" TO anon, authenticated;
CREATE TABLE "m(e)m*" ("te(am" int, "user%I_id(" uuid REFERENCES auth.users);
GRANT ALL ON "m(e)m*" TO authenticated;
CREATE FUNCTION "f(n%s""" ("a(b" int) RETURNS bool LANGUAGE plpgsql SECURITY DEFINER AS $f$
    BEGIN PERFORM set_config('app.te(nant', 'x', false);
        RETURN EXISTS (SELECT FROM "t%s ""(\d+" WHERE "select" = 1); END $f$;
CREATE FUNCTION "tr(%""" () RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
    BEGIN RETURN NEW; END $f$;
CREATE TRIGGER "tr%s ""(" AFTER INSERT ON "t%s ""(\d+" FOR EACH ROW EXECUTE FUNCTION "tr(%"""();
CREATE POLICY "p%s ""(\1" ON "t%s ""(\d+"
    USING ("user%I_id(" = auth.uid() OR "user%I_id(" IS NULL
        OR tenant_id = current_setting('app.te(nant', true)
        OR "select" = (SELECT m."te(am" FROM "m(e)m*" AS m WHERE m."user%I_id(" = auth.uid())
        OR "f(n%s"""(1));
CREATE POLICY "admin %s" ON "t%s ""(\d+" USING (true);
CREATE POLICY "meta %s" ON "t%s ""(\d+" USING ((auth.jwt() -> 'user_metadata' ->> 'x''y') = 'a%s');
CREATE VIEW "v%s ""(" AS SELECT * FROM "t%s ""(\d+" WHERE "f(n%s"""(1);
GRANT SELECT ON "v%s ""(" TO anon;
CREATE MATERIALIZED VIEW "mv%s ""(" AS SELECT * FROM "v%s ""(";
GRANT SELECT ON "mv%s ""(" TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "ro%le ""(x)\" IN SCHEMA "we""ird (sch%sema) \1 [a-z]*"
    GRANT ALL ON TABLES TO anon;
ALTER ROLE "ro%le ""(x)\" SET "app.te_nant" = '%s';
CREATE TABLE "pa%r""" (id int) PARTITION BY RANGE (id);
ALTER TABLE "pa%r""" ENABLE ROW LEVEL SECURITY;
CREATE TABLE "pa%r""1" PARTITION OF "pa%r""" FOR VALUES FROM (0) TO (1);
GRANT ALL ON "pa%r""1" TO anon;
ALTER TABLE "m(e)m*" OWNER TO "ro%le ""(x)\";
