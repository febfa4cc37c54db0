-- An application in which users are denied rows, each for another cause. Run after rls/base.sql.
-- Table denials lists them: the request, the statement that fails in a real session, the cure that
-- removes the cause, and the cause that an explanation has to name.
INSERT INTO auth.users (id, email, raw_app_meta_data) VALUES
    ('00000000-0000-4000-8000-000000000001', 'ann@example.org', '{"tenant": "north"}'),
    ('00000000-0000-4000-8000-000000000002', 'bob@example.org', '{}');
CREATE SCHEMA app;
CREATE SCHEMA vault;
CREATE ROLE keeper NOLOGIN;
CREATE ROLE denial_editor NOLOGIN;
GRANT USAGE ON SCHEMA app TO anon, authenticated, keeper;
GRANT USAGE ON SCHEMA public TO anon, authenticated;

CREATE TABLE private.denials (
    name text PRIMARY KEY, who uuid, command text NOT NULL, relation text NOT NULL,
    key_or_row jsonb NOT NULL, statement text NOT NULL, cure text NOT NULL, cause text NOT NULL,
    object text NOT NULL, explanation text NOT NULL
);
CREATE FUNCTION private.table_of(p_name text, p_columns text, p_privileges text)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE app.%I (id integer PRIMARY KEY, user_id uuid, %s)', p_name,
        p_columns);
    EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', p_name);
    EXECUTE format('GRANT %s ON app.%I TO authenticated', p_privileges, p_name);
    EXECUTE format('INSERT INTO app.%I (id, user_id) VALUES '
        '(1, ''00000000-0000-4000-8000-000000000001''), '
        '(2, ''00000000-0000-4000-8000-000000000002'')', p_name);
END $$;
CREATE FUNCTION private.denied(p_name text, p_who integer, p_command text, p_relation text,
    p_key_or_row jsonb, p_statement text, p_cure text, p_cause text, p_object text,
    p_explanation text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO private.denials VALUES (p_name,
        ('00000000-0000-4000-8000-00000000000' || p_who)::uuid, p_command, p_relation,
        p_key_or_row, p_statement, p_cure, p_cause, p_object, p_explanation)
$$;

-- Privileges
CREATE TABLE vault.codes (id integer PRIMARY KEY);
INSERT INTO vault.codes VALUES (1);
GRANT SELECT ON vault.codes TO authenticated;
SELECT private.denied('no USAGE on the schema', 1, 'SELECT', 'vault.codes', '{"id": 1}',
    'SELECT * FROM vault.codes WHERE id = 1', 'GRANT USAGE ON SCHEMA vault TO authenticated',
    'schema-usage', 'schema vault', '%no USAGE%');
SELECT private.table_of('invoices', 'note text', 'INSERT');
CREATE POLICY own ON app.invoices USING (user_id = auth.uid());
SELECT private.denied('no SELECT on the table', 1, 'select', 'app.invoices', '{"id": 1}',
    'SELECT * FROM app.invoices WHERE id = 1', 'GRANT SELECT ON app.invoices TO authenticated',
    'table-grant', 'table app.invoices', '%no SELECT%');
SELECT private.table_of('orders', 'total integer', 'SELECT');
CREATE POLICY own ON app.orders USING (user_id = auth.uid());
SELECT private.denied('no DELETE on the table', 1, 'DELETE', 'app.orders', '{"id": 1}',
    'DELETE FROM app.orders WHERE id = 1', 'GRANT DELETE ON app.orders TO authenticated',
    'table-grant', 'table app.orders', '%no DELETE%');
SELECT private.denied('no UPDATE on the table', 1, 'UPDATE', 'app.orders', '{"id": 1, "total": 3}',
    'UPDATE app.orders SET total = 3 WHERE id = 1', 'GRANT UPDATE ON app.orders TO authenticated',
    'table-grant', 'table app.orders', '%no UPDATE%');
SELECT private.table_of('profiles', 'name text, is_staff boolean', 'SELECT');
GRANT UPDATE (name) ON app.profiles TO authenticated;
CREATE POLICY own ON app.profiles USING (user_id = auth.uid());
SELECT private.denied('no UPDATE on the column', 1, 'UPDATE', 'app.profiles',
    '{"id": 1, "is_staff": true}', 'UPDATE app.profiles SET is_staff = true WHERE id = 1',
    'GRANT UPDATE (is_staff) ON app.profiles TO authenticated', 'column-grant',
    'table app.profiles', '%is_staff%');
SELECT private.table_of('letters', 'secret text', 'INSERT');
GRANT SELECT (id, user_id) ON app.letters TO authenticated;
CREATE POLICY own ON app.letters USING (user_id = auth.uid());
SELECT private.denied('no SELECT on one column', 1, 'SELECT', 'app.letters', '{"id": 1}',
    'SELECT * FROM app.letters WHERE id = 1',
    'GRANT SELECT (secret) ON app.letters TO authenticated', 'column-grant', 'table app.letters',
    '%no SELECT on secret%');
SELECT private.table_of('blind', 'n integer', 'UPDATE');
CREATE POLICY own ON app.blind USING (user_id = auth.uid());
SELECT private.denied('WHERE without SELECT', 1, 'UPDATE', 'app.blind', '{"id": 1, "n": 2}',
    'UPDATE app.blind SET n = 2 WHERE id = 1', 'GRANT SELECT ON app.blind TO authenticated',
    'table-grant', 'table app.blind', '%WHERE reads id%');
CREATE TABLE app.tickets (id serial PRIMARY KEY, user_id uuid DEFAULT auth.uid());
ALTER TABLE app.tickets ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON app.tickets TO authenticated;
CREATE POLICY own ON app.tickets USING (user_id = auth.uid());
SELECT private.denied('no USAGE on the sequence', 1, 'INSERT', 'app.tickets', '{}',
    'INSERT INTO app.tickets DEFAULT VALUES',
    'GRANT USAGE ON SEQUENCE app.tickets_id_seq TO authenticated', 'sequence-grant',
    'sequence app.tickets_id_seq', '%nextval%');
SELECT private.table_of('guarded', 'n integer', 'SELECT');
CREATE FUNCTION app.may_see(integer) RETURNS boolean LANGUAGE plpgsql STABLE AS
    'BEGIN RETURN true; END';
REVOKE EXECUTE ON FUNCTION app.may_see(integer) FROM PUBLIC;
CREATE POLICY own ON app.guarded USING (app.may_see(id));
SELECT private.denied('no EXECUTE on the function of a policy', 1, 'SELECT', 'app.guarded',
    '{"id": 1}', 'SELECT * FROM app.guarded WHERE id = 1',
    'GRANT EXECUTE ON FUNCTION app.may_see(integer) TO authenticated', 'function-grant',
    'function app.may_see(integer)', '%own%');
CREATE TABLE app.members (team integer, user_id uuid);
INSERT INTO app.members VALUES (7, '00000000-0000-4000-8000-000000000001');
SELECT private.table_of('plans', 'team integer DEFAULT 7', 'SELECT');
CREATE POLICY team ON app.plans USING (team IN (SELECT m.team FROM app.members AS m
    WHERE m.user_id = auth.uid()));
SELECT private.denied('no SELECT on the table of a sub-query', 1, 'SELECT', 'app.plans',
    '{"id": 1}', 'SELECT * FROM app.plans WHERE id = 1',
    'GRANT SELECT ON app.members TO authenticated', 'table-grant', 'table app.members', '%team%');

-- Policies that do not apply
SELECT private.table_of('drafts', 'n integer', 'SELECT');
SELECT private.denied('no policy at all', 1, 'SELECT', 'app.drafts', '{"id": 1}',
    'SELECT * FROM app.drafts WHERE id = 1',
    'CREATE POLICY p ON app.drafts USING (user_id = auth.uid())', 'rls-no-policy',
    'table app.drafts', '%has no policy%');
SELECT private.table_of('audits', 'n integer', 'SELECT');
CREATE POLICY staff ON app.audits TO service_role USING (true);
SELECT private.denied('a policy for another role', 1, 'SELECT', 'app.audits', '{"id": 1}',
    'SELECT * FROM app.audits WHERE id = 1', 'ALTER POLICY staff ON app.audits TO authenticated',
    'rls-no-policy', 'table app.audits', '%"staff" is FOR ALL TO service_role%');
SELECT private.table_of('posts', 'n integer', 'SELECT, INSERT, DELETE');
CREATE POLICY reading ON app.posts FOR SELECT USING (user_id = auth.uid());
SELECT private.denied('no policy for the command', 1, 'DELETE', 'app.posts', '{"id": 1}',
    'DELETE FROM app.posts WHERE id = 1',
    'CREATE POLICY removing ON app.posts FOR DELETE USING (user_id = auth.uid())',
    'rls-no-policy', 'table app.posts', '%"reading" is FOR SELECT%');
SELECT private.denied('no policy for INSERT', 1, 'INSERT', 'app.posts',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001"}',
    'INSERT INTO app.posts VALUES (9, ''00000000-0000-4000-8000-000000000001'')',
    'CREATE POLICY adding ON app.posts FOR INSERT WITH CHECK (user_id = auth.uid())',
    'rls-no-policy', 'table app.posts', '%"reading" is FOR SELECT%');
SELECT private.table_of('fenced', 'n integer', 'SELECT');
CREATE POLICY fence ON app.fenced AS RESTRICTIVE USING (true);
SELECT private.denied('only a RESTRICTIVE policy', 1, 'SELECT', 'app.fenced', '{"id": 1}',
    'SELECT * FROM app.fenced WHERE id = 1',
    'CREATE POLICY p ON app.fenced USING (user_id = auth.uid())', 'rls-no-policy',
    'table app.fenced', '%"fence" is RESTRICTIVE%');

-- Conditions that do not hold
SELECT private.table_of('messages', 'body text', 'SELECT, INSERT, UPDATE');
CREATE POLICY own ON app.messages USING (user_id = (SELECT auth.uid()));
SELECT private.denied('a row of another user', 1, 'SELECT', 'app.messages', '{"id": 2}',
    'SELECT * FROM app.messages WHERE id = 2',
    'UPDATE app.messages SET user_id = ''00000000-0000-4000-8000-000000000001''', 'using',
    'policy "own" on app.messages', '%auth.uid() is 00000000-0000-4000-8000-000000000001%');
SELECT private.denied('a row for another user', 1, 'INSERT', 'app.messages',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000002"}',
    'INSERT INTO app.messages VALUES (9, ''00000000-0000-4000-8000-000000000002'')',
    'CREATE POLICY adding ON app.messages FOR INSERT WITH CHECK (true);
     CREATE POLICY seeing ON app.messages FOR SELECT USING (true)', 'with-check',
    'policy "own" on app.messages', '%row''s user_id is 00000000-0000-4000-8000-000000000002%');
SELECT private.denied('a row given away', 1, 'UPDATE', 'app.messages',
    '{"id": 1, "user_id": "00000000-0000-4000-8000-000000000002"}',
    'UPDATE app.messages SET user_id = ''00000000-0000-4000-8000-000000000002'' WHERE id = 1',
    'CREATE POLICY giving ON app.messages FOR UPDATE WITH CHECK (true);
     CREATE POLICY seeing ON app.messages FOR SELECT USING (true)', 'with-check',
    'policy "own" on app.messages', '%row''s user_id is 00000000-0000-4000-8000-000000000002%');
SELECT private.table_of('funds', 'amount integer DEFAULT 5', 'SELECT');
CREATE POLICY own ON app.funds USING (user_id = auth.uid() AND auth.jwt() ->> 'aal' = 'aal2');
SELECT private.denied('a claim with another value', 1, 'SELECT', 'app.funds', '{"id": 1}',
    'SELECT * FROM app.funds WHERE id = 1',
    'ALTER POLICY own ON app.funds USING (user_id = auth.uid())', 'using',
    'policy "own" on app.funds', '(auth.jwt() ->> ''aal''::text) = ''aal2''::text is false: %aal1%');
SELECT private.table_of('sites', 'tenant text DEFAULT ''north''', 'SELECT');
CREATE POLICY tenant ON app.sites USING (tenant = auth.jwt() -> 'app_metadata' ->> 'tenant');
SELECT private.denied('a claim that is missing', 2, 'SELECT', 'app.sites', '{"id": 2}',
    'SELECT * FROM app.sites WHERE id = 2',
    'ALTER POLICY tenant ON app.sites USING (tenant = ''north'')', 'using',
    'policy "tenant" on app.sites', '%''tenant''::text) is NULL%');
SELECT private.table_of('notes', 'is_public boolean DEFAULT false', 'SELECT');
CREATE POLICY visible ON app.notes USING (is_public OR user_id = auth.uid());
SELECT private.denied('no alternative holds', 1, 'SELECT', 'app.notes', '{"id": 2}',
    'SELECT * FROM app.notes WHERE id = 2', 'UPDATE app.notes SET is_public = true', 'using',
    'policy "visible" on app.notes', 'None of 2 alternatives%is_public%user_id%');
SELECT private.table_of('rooms', 'team integer DEFAULT 8', 'SELECT');
GRANT SELECT ON app.members TO keeper;
CREATE TABLE app.seats (team integer, user_id uuid);
INSERT INTO app.seats VALUES (7, '00000000-0000-4000-8000-000000000001');
GRANT SELECT ON app.seats TO authenticated;
CREATE POLICY team ON app.rooms USING (EXISTS (SELECT FROM app.seats AS s
    WHERE s.team = rooms.team AND s.user_id = auth.uid()));
SELECT private.denied('no membership', 1, 'SELECT', 'app.rooms', '{"id": 1}',
    'SELECT * FROM app.rooms WHERE id = 1',
    'INSERT INTO app.seats VALUES (8, ''00000000-0000-4000-8000-000000000001'')', 'using',
    'policy "team" on app.rooms', '%no fitting row in app.seats%');
CREATE TABLE app.crews (team integer, user_id uuid);
INSERT INTO app.crews VALUES (7, '00000000-0000-4000-8000-000000000001');
ALTER TABLE app.crews ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON app.crews TO authenticated;
SELECT private.table_of('boats', 'team integer DEFAULT 7', 'SELECT');
CREATE POLICY team ON app.boats USING (EXISTS (SELECT FROM app.crews AS c
    WHERE c.team = boats.team AND c.user_id = auth.uid()));
SELECT private.denied('a membership that is hidden', 1, 'SELECT', 'app.boats', '{"id": 1}',
    'SELECT * FROM app.boats WHERE id = 1',
    'CREATE POLICY own ON app.crews USING (user_id = auth.uid())', 'using',
    'policy "team" on app.boats', '%row-level security of app.crews hides%no SELECT policy%');
SELECT private.table_of('vetted', 'is_vetted boolean DEFAULT false', 'SELECT, INSERT');
CREATE POLICY own ON app.vetted USING (user_id = auth.uid());
CREATE POLICY vetted ON app.vetted AS RESTRICTIVE USING (is_vetted);
SELECT private.denied('a RESTRICTIVE policy', 1, 'SELECT', 'app.vetted', '{"id": 1}',
    'SELECT * FROM app.vetted WHERE id = 1', 'UPDATE app.vetted SET is_vetted = true',
    'restrictive', 'policy "vetted" on app.vetted', '%is_vetted is false%');
SELECT private.denied('a RESTRICTIVE policy at INSERT', 1, 'INSERT', 'app.vetted',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001"}',
    'INSERT INTO app.vetted VALUES (9, ''00000000-0000-4000-8000-000000000001'')',
    'ALTER POLICY vetted ON app.vetted USING (true)', 'restrictive',
    'policy "vetted" on app.vetted', '%is_vetted is false%');

-- SELECT policies in other commands
SELECT private.table_of('bins', 'deleted_at timestamptz', 'SELECT, UPDATE');
CREATE POLICY changing ON app.bins FOR UPDATE USING (user_id = auth.uid());
CREATE POLICY reading ON app.bins FOR SELECT
    USING (user_id = auth.uid() AND deleted_at IS NULL);
SELECT private.denied('a soft delete', 1, 'UPDATE', 'app.bins',
    '{"id": 1, "deleted_at": "2030-01-01"}',
    'UPDATE app.bins SET deleted_at = ''2030-01-01'' WHERE id = 1',
    'ALTER POLICY reading ON app.bins USING (user_id = auth.uid())', 'select-policy-needed',
    'policy "reading" on app.bins', '%stay visible%deleted_at IS NULL is false%');
SELECT private.table_of('ideas', 'n integer', 'SELECT, UPDATE');
CREATE POLICY changing ON app.ideas FOR UPDATE USING (user_id = auth.uid());
SELECT private.denied('UPDATE without a SELECT policy', 1, 'UPDATE', 'app.ideas',
    '{"id": 1, "n": 2}', 'UPDATE app.ideas SET n = 2 WHERE id = 1',
    'CREATE POLICY reading ON app.ideas FOR SELECT USING (user_id = auth.uid())',
    'select-policy-needed', 'table app.ideas', '%WHERE reads the row%');
SELECT private.table_of('votes', 'n integer', 'SELECT, INSERT');
CREATE POLICY adding ON app.votes FOR INSERT WITH CHECK (user_id = auth.uid());
SELECT private.denied('RETURNING without a SELECT policy', 1, 'INSERT', 'app.votes',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001"}',
    'INSERT INTO app.votes VALUES (9, ''00000000-0000-4000-8000-000000000001'') RETURNING *',
    'CREATE POLICY reading ON app.votes FOR SELECT USING (user_id = auth.uid())',
    'select-policy-needed', 'table app.votes', '%plain INSERT passes%');

-- Errors, rows, triggers, rules, constraints
SELECT private.table_of('loops', 'n integer', 'SELECT');
CREATE POLICY round ON app.loops USING (EXISTS (SELECT FROM app.loops AS l
    WHERE l.user_id = auth.uid()));
SELECT private.denied('a policy that reads its own table', 1, 'SELECT', 'app.loops', '{"id": 1}',
    'SELECT * FROM app.loops WHERE id = 1',
    'ALTER POLICY round ON app.loops USING (user_id = auth.uid())', 'error',
    'policy "round" on app.loops', '%42P17%');
SELECT private.table_of('ratios', 'n integer DEFAULT 0', 'SELECT');
CREATE POLICY half ON app.ratios USING (user_id = auth.uid() AND 2 / n > 1);
SELECT private.denied('a policy that divides by zero', 1, 'SELECT', 'app.ratios', '{"id": 1}',
    'SELECT * FROM app.ratios WHERE id = 1', 'UPDATE app.ratios SET n = 1', 'error',
    'policy "half" on app.ratios', '%22012%');
SELECT private.denied('a row that does not exist', 1, 'SELECT', 'app.messages', '{"id": 77}',
    'SELECT * FROM app.messages WHERE id = 77',
    'INSERT INTO app.messages VALUES (77, ''00000000-0000-4000-8000-000000000001'')', 'no-row',
    'table app.messages', '%No row%');
SELECT private.table_of('sales', 'n integer', 'SELECT, INSERT');
CREATE POLICY own ON app.sales USING (user_id = auth.uid());
CREATE TABLE app.sales_log (sale integer, user_id uuid);
ALTER TABLE app.sales_log ENABLE ROW LEVEL SECURITY;
GRANT INSERT ON app.sales_log TO authenticated;
CREATE FUNCTION app.log_sale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- keeps a trail
    INSERT INTO app.sales_log (sale, user_id) VALUES (NEW.id, NEW.user_id);
    RETURN NEW;
END $$;
CREATE TRIGGER log AFTER INSERT ON app.sales FOR EACH ROW EXECUTE FUNCTION app.log_sale();
SELECT private.denied('a trigger that writes another table', 1, 'INSERT', 'app.sales',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001"}',
    'INSERT INTO app.sales VALUES (9, ''00000000-0000-4000-8000-000000000001'')',
    'ALTER TABLE app.sales_log DISABLE ROW LEVEL SECURITY', 'trigger',
    'trigger log on app.sales', '%app.sales_log%no policy for INSERT%');
SELECT private.table_of('frozen', 'n integer', 'SELECT, DELETE');
CREATE POLICY own ON app.frozen USING (user_id = auth.uid());
CREATE RULE keep AS ON DELETE TO app.frozen DO INSTEAD NOTHING;
SELECT private.denied('a rule', 1, 'DELETE', 'app.frozen', '{"id": 1}',
    'DELETE FROM app.frozen WHERE id = 1', 'DROP RULE keep ON app.frozen', 'rule',
    'rule keep on app.frozen', '%does nothing%');
SELECT private.table_of('prices', 'amount integer DEFAULT 1 NOT NULL CHECK (amount > 0)',
    'SELECT, INSERT');
CREATE POLICY own ON app.prices USING (user_id = auth.uid());
SELECT private.denied('a CHECK constraint', 1, 'INSERT', 'app.prices',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001", "amount": -1}',
    'INSERT INTO app.prices VALUES (9, ''00000000-0000-4000-8000-000000000001'', -1)',
    'ALTER TABLE app.prices DROP CONSTRAINT prices_amount_check', 'constraint',
    'table app.prices', '%prices_amount_check%');

CREATE TABLE app.shops (id integer PRIMARY KEY);
SELECT private.table_of('parcels', 'shop integer REFERENCES app.shops, code text UNIQUE',
    'SELECT, INSERT, UPDATE');
CREATE POLICY own ON app.parcels USING (user_id = auth.uid());
UPDATE app.parcels SET code = 'a' WHERE id = 2;
SELECT private.denied('a foreign key', 1, 'INSERT', 'app.parcels',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000001", "shop": 4}',
    'INSERT INTO app.parcels VALUES (9, ''00000000-0000-4000-8000-000000000001'', 4)',
    'INSERT INTO app.shops VALUES (4)', 'constraint', 'table app.parcels',
    'No row of app.shops fits shop%');
SELECT private.denied('a unique index', 1, 'UPDATE', 'app.parcels', '{"id": 1, "code": "a"}',
    'UPDATE app.parcels SET code = ''a'' WHERE id = 1',
    'ALTER TABLE app.parcels DROP CONSTRAINT parcels_code_key', 'constraint',
    'table app.parcels', 'Another row has the same code%');
SELECT private.denied('a primary key', 1, 'INSERT', 'app.parcels',
    '{"id": 2, "user_id": "00000000-0000-4000-8000-000000000001"}',
    'INSERT INTO app.parcels VALUES (2, ''00000000-0000-4000-8000-000000000001'')',
    'DELETE FROM app.parcels WHERE id = 2', 'constraint', 'table app.parcels',
    'Another row has the same id%');
SELECT private.denied('a NOT NULL column', 1, 'UPDATE', 'app.messages',
    '{"key": {"id": 1}, "row": {"id": null}}',
    'UPDATE app.messages SET id = NULL WHERE id = 1',
    'ALTER TABLE app.messages DROP CONSTRAINT messages_pkey, ALTER COLUMN id DROP NOT NULL',
    'constraint', 'table app.messages', 'id is NOT NULL%');

-- Shapes of keys, tables and policies
SELECT private.table_of('decks', 'team integer DEFAULT 7', 'SELECT');
CREATE TABLE private.captains (team integer, user_id uuid);
CREATE FUNCTION app.is_captain(integer) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS
    'SELECT EXISTS (SELECT FROM private.captains AS c
        WHERE c.team = $1 AND c.user_id = auth.uid())';
CREATE POLICY captain ON app.decks USING (app.is_captain(team));
SELECT private.denied('a function returns false', 1, 'SELECT', 'app.decks', '{"id": 1}',
    'SELECT * FROM app.decks WHERE id = 1',
    'INSERT INTO private.captains VALUES (7, ''00000000-0000-4000-8000-000000000001'')', 'using',
    'policy "captain" on app.decks', '%is_captain(team) is false: the row''s team is 7%');
CREATE DOMAIN app.number AS integer;
CREATE TYPE app.colour AS ENUM ('red', 'blue');
CREATE TABLE app.tiles (number app.number, colour app.colour, user_id uuid,
    PRIMARY KEY (number, colour)) PARTITION BY LIST (colour);
CREATE TABLE app.red_tiles PARTITION OF app.tiles FOR VALUES IN ('red');
INSERT INTO app.tiles VALUES (3, 'red', '00000000-0000-4000-8000-000000000002');
ALTER TABLE app.tiles ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON app.tiles TO authenticated;
CREATE POLICY own ON app.tiles USING (user_id = auth.uid());
SELECT private.denied('a row of a partition', 1, 'SELECT', 'app.tiles',
    '{"number": 3, "colour": "red"}', 'SELECT * FROM app.tiles WHERE number = 3',
    'UPDATE app.tiles SET user_id = ''00000000-0000-4000-8000-000000000001''', 'using',
    'policy "own" on app.tiles', '%row''s user_id is 00000000-0000-4000-8000-000000000002%');
SELECT private.table_of('whole', 'n integer', 'SELECT, INSERT');
CREATE FUNCTION app.is_mine(app.whole) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT $1.user_id = auth.uid()';
CREATE POLICY own ON app.whole USING (app.is_mine(whole));
SELECT private.denied('a policy on the row as a whole', 1, 'INSERT', 'app.whole',
    '{"id": 9, "user_id": "00000000-0000-4000-8000-000000000002"}',
    'INSERT INTO app.whole VALUES (9, ''00000000-0000-4000-8000-000000000002'')',
    'ALTER POLICY own ON app.whole USING (true)', 'with-check', 'policy "own" on app.whole',
    '%is_mine%is false%');
SELECT private.table_of('gated', 'n integer', 'SELECT');
CREATE POLICY guests ON app.gated USING (user_id = auth.uid()
    AND NOT (auth.jwt() ->> 'is_anonymous')::boolean AND auth.role() = 'admin');
SELECT private.denied('the last of three conditions', 1, 'SELECT', 'app.gated',
    '{"id": 1}', 'SELECT * FROM app.gated WHERE id = 1',
    'ALTER POLICY guests ON app.gated USING (user_id = auth.uid())', 'using',
    'policy "guests" on app.gated',
    'auth.role() = ''admin''::text is false: auth.role() is authenticated.');

-- Triggers whose effect on a row is not known beforehand
SELECT private.table_of('stamped', 'n integer, updated_at timestamptz', 'SELECT, INSERT');
CREATE POLICY own ON app.stamped USING (user_id = auth.uid());
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.updated_at := now(); RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON app.stamped FOR EACH ROW EXECUTE FUNCTION app.stamp();
SELECT private.table_of('assigned', 'n integer', 'SELECT, INSERT');
CREATE POLICY own ON app.assigned USING (user_id = auth.uid());
CREATE FUNCTION app.assign() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.user_id := auth.uid(); RETURN NEW; END';
CREATE TRIGGER assign BEFORE INSERT ON app.assigned FOR EACH ROW EXECUTE FUNCTION app.assign();
SELECT private.table_of('checked', 'n integer', 'SELECT, INSERT');
CREATE POLICY own ON app.checked USING (user_id = auth.uid());
CREATE FUNCTION app.check_it() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN IF NEW.n > 3 THEN RAISE EXCEPTION ''too much''; END IF; RETURN NEW; END';
CREATE TRIGGER check_it BEFORE INSERT ON app.checked
    FOR EACH ROW EXECUTE FUNCTION app.check_it();

-- Views
SELECT private.table_of('ledger', 'n integer', 'INSERT');
CREATE POLICY own ON app.ledger USING (user_id = auth.uid());
CREATE VIEW app.ledger_view AS SELECT id, user_id FROM app.ledger;
ALTER VIEW app.ledger_view OWNER TO keeper;
GRANT SELECT ON app.ledger_view TO authenticated;
SELECT private.denied('a view whose owner lacks SELECT', 1, 'SELECT', 'app.ledger_view',
    '{"id": 1}', 'SELECT * FROM app.ledger_view WHERE id = 1',
    'GRANT SELECT ON app.ledger TO keeper', 'view-owner', 'table app.ledger', '%keeper has no%');
CREATE VIEW app.own_messages WITH (security_invoker) AS SELECT id AS message, body
    FROM app.messages;
GRANT SELECT ON app.own_messages TO authenticated;
SELECT private.denied('a view that runs as its caller', 1, 'SELECT', 'app.own_messages',
    '{"message": 2}', 'SELECT * FROM app.own_messages WHERE message = 2',
    'UPDATE app.messages SET user_id = ''00000000-0000-4000-8000-000000000001''', 'using',
    'policy "own" on app.messages', '%auth.uid() is%');

CREATE VIEW app.live_messages AS SELECT id, user_id FROM app.messages WHERE body IS NOT NULL;
GRANT SELECT ON app.live_messages TO authenticated;
SELECT private.denied('the condition of a view', 1, 'SELECT', 'app.live_messages', '{"id": 1}',
    'SELECT * FROM app.live_messages WHERE id = 1', 'UPDATE app.messages SET body = ''x''',
    'view', 'view app.live_messages', '%own conditions%');
CREATE VIEW app.joined WITH (security_invoker) AS SELECT m.id, s.team FROM app.messages AS m
    LEFT JOIN app.seats AS s USING (user_id);
GRANT SELECT ON app.joined TO authenticated;
SELECT private.denied('a view of two tables', 1, 'SELECT', 'app.joined', '{"id": 2}',
    'SELECT * FROM app.joined WHERE id = 2',
    'UPDATE app.messages SET user_id = ''00000000-0000-4000-8000-000000000001''', 'view',
    'view app.joined', '%policies of app.messages for authenticated%');

-- Anonymous requests
CREATE TABLE app.pages (id integer PRIMARY KEY, user_id uuid, is_live boolean);
INSERT INTO app.pages VALUES (1, '00000000-0000-4000-8000-000000000001', true);
ALTER TABLE app.pages ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON app.pages TO anon, authenticated;
CREATE POLICY own ON app.pages USING (user_id = auth.uid());
SELECT private.denied('nobody is signed in', NULL, 'SELECT', 'app.pages', '{"id": 1}',
    'SELECT * FROM app.pages WHERE id = 1', 'ALTER POLICY own ON app.pages USING (is_live)',
    'using', 'policy "own" on app.pages', '%auth.uid() is NULL%');
CREATE POLICY users ON app.orders FOR SELECT TO authenticated USING (true);
