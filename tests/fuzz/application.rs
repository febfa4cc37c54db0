//! The database that is attacked: an application with policies, hostile rows, and the roles.

use harness::random::Random;
use harness::{Cluster, run};
use postgres::Client;

/// Settings of the servers.
pub const SETTINGS: &str = "statement_timeout = '3s'\nmax_locks_per_transaction = 256\n\
     log_min_messages = warning\nmax_stack_depth = '2MB'";

/// A role that calls.
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// Whether it may change privileges: those of a weak role never change.
    pub is_strong: bool,
    /// Calls of a hundred.
    share: usize,
}

/// All roles that call.
pub const ROLES: [Role; 8] = [
    Role { name: "postgres", is_strong: true, share: 35 },
    Role { name: "fuzz_admin", is_strong: true, share: 10 },
    Role { name: "fuzz_operator", is_strong: false, share: 15 },
    Role { name: "fuzz_writer", is_strong: false, share: 8 },
    Role { name: "fuzz_reader", is_strong: false, share: 12 },
    Role { name: "anon", is_strong: false, share: 6 },
    Role { name: "authenticated", is_strong: false, share: 6 },
    Role { name: "fuzz_stranger", is_strong: false, share: 8 },
];

const APPLICATION: &str = r#"
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
INSERT INTO auth.users VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'a@example.org'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'b@example.org');
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
GRANT USAGE ON SCHEMA auth, public TO anon, authenticated;
CREATE TABLE messages (
    id integer PRIMARY KEY, sender uuid NOT NULL REFERENCES auth.users, content text
);
INSERT INTO messages VALUES (1, 'aaaaaaaa-0000-4000-8000-000000000001', 'hi'),
    (2, 'bbbbbbbb-0000-4000-8000-000000000002', E'odd \' " \\ \n text');
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO anon, authenticated;
CREATE POLICY notes ON messages TO authenticated
    USING (sender = auth.uid() OR content IS NOT NULL);
CREATE POLICY broken ON messages FOR UPDATE TO anon USING (1 / (id - id) = 1);
CREATE VIEW message_view AS SELECT * FROM messages;
CREATE MATERIALIZED VIEW message_report AS SELECT count(*) FROM messages;
CREATE SEQUENCE message_numbers;
CREATE TABLE message_parts (id bigint, part jsonb) PARTITION BY RANGE (id);
CREATE TABLE "odd ""name" ("a ""b" numeric, "C" jsonb[]);
INSERT INTO "odd ""name" VALUES (1e400, ARRAY['1e400'::jsonb]);
CREATE FUNCTION passes() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION fails() RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE 'it fails' USING ERRCODE = 'XX000'; END $$;
CREATE FUNCTION returns_json() RETURNS jsonb LANGUAGE sql AS
$$ SELECT '{"rows": 1e400}'::jsonb $$;
CREATE FUNCTION returns_rows() RETURNS SETOF text LANGUAGE sql AS
$$ SELECT repeat('x', 100000) FROM generate_series(1, 3) $$;
CREATE FUNCTION sleeps() RETURNS boolean LANGUAGE sql AS
$$ SELECT pg_sleep(0.05) IS NOT NULL $$;
INSERT INTO event_log (event_type, function_name, execution_time_ms, payload) VALUES
    ('edge_function_call', 'f', 1, '{"status_code": 1e400}'),
    ('edge_function_call', E'odd \' " text', 86e5, '{"status_code": {"a": 1e400}}'),
    ('edge_function_call', 'f', 12.5, '{"status_code": 503}');
SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', false, 'none');
SELECT crewsnow_ops.freeze_releases('a freeze', now(), now() + interval '1 hour');
SELECT crewsnow_ops.register_e2e_test('a-test', 'public.passes()');
SELECT crewsnow_ops.register_e2e_test('a-failure', 'public.fails()');
SELECT crewsnow_ops.register_e2e_test('a-report', 'public.returns_rows()');
SELECT crewsnow_ops.record_rls_audit();
SELECT decision FROM make_go_no_go_decision();
"#;

/// Creates the roles and the database. Returns a session of its owner.
pub fn create(cluster: &Cluster) -> Client {
    let mut client = cluster.create_database("fuzz");
    for role in ROLES.iter().filter(|role| role.name != "postgres") {
        run(&mut client, &format!("CREATE ROLE {} LOGIN", role.name));
    }
    run(&mut client, APPLICATION);
    for level in ["admin", "operator", "writer", "reader"] {
        let grant = format!("SELECT crewsnow_ops.grant_access('fuzz_{level}', '{level}')");
        run(&mut client, &grant);
    }
    run(&mut client, "GRANT pg_monitor TO fuzz_operator");
    client
}

/// A role, by its share of the calls.
pub fn pick(random: &mut Random) -> &'static Role {
    let mut place = random.below(100);
    for role in &ROLES {
        if place < role.share {
            return role;
        }
        place -= role.share;
    }
    &ROLES[0]
}
