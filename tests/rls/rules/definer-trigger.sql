CREATE TABLE bad.profiles (id uuid, role text);
CREATE FUNCTION private.on_sign_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO bad.profiles VALUES (NEW.id, NEW.raw_user_meta_data ->> 'role'); RETURN NEW;
    END $$;
CREATE TRIGGER "On ""sign-up""" AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION private.on_sign_up();
COMMENT ON TRIGGER "On ""sign-up""" ON auth.users IS 'leak HIGH: users choose their role';
GRANT INSERT ON bad.profiles TO authenticated;
CREATE FUNCTION private.build() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN EXECUTE 'INSERT INTO ' || NEW.role || ' VALUES (1)'; RETURN NEW; END $$;
CREATE TRIGGER build AFTER INSERT ON bad.profiles FOR EACH ROW EXECUTE FUNCTION private.build();
COMMENT ON TRIGGER build ON bad.profiles IS 'leak MEDIUM: builds statements';
CREATE FUNCTION private.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER note AFTER INSERT OR UPDATE ON bad.profiles
    FOR EACH ROW EXECUTE FUNCTION private.note();
COMMENT ON TRIGGER note ON bad.profiles IS 'leak INFO';
CREATE TABLE private.log (at timestamptz);
ALTER TABLE private.log ENABLE ROW LEVEL SECURITY;
CREATE RULE log AS ON INSERT TO bad.profiles DO ALSO INSERT INTO private.log VALUES (now());
COMMENT ON RULE log ON bad.profiles IS 'leak MEDIUM: past row-level security';

CREATE TABLE good.t (id int, name text);
GRANT SELECT, DELETE ON good.t TO authenticated;
CREATE TRIGGER not_fired AFTER INSERT ON good.t FOR EACH ROW EXECUTE FUNCTION private.note();
CREATE TRIGGER switched_off AFTER DELETE ON good.t FOR EACH ROW EXECUTE FUNCTION private.note();
ALTER TABLE good.t DISABLE TRIGGER switched_off;
CREATE FUNCTION private.as_caller() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
CREATE TRIGGER as_caller AFTER DELETE ON good.t FOR EACH ROW EXECUTE FUNCTION private.as_caller();
CREATE TABLE good.watched (id int);
GRANT UPDATE ON good.watched TO authenticated;
CREATE RULE harmless AS ON UPDATE TO good.watched DO ALSO NOTIFY watched;
