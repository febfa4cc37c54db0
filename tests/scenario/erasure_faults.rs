//! Erasures that must not happen, traces that must be found, and rules that decide.

use harness::{Cluster, rows, run, sqlstate, value};
use postgres::Client;

pub const ADA: &str = "00000000-0000-4000-8000-0000000000a1";
pub const BOB: &str = "00000000-0000-4000-8000-0000000000b1";

/// Two persons with rows in a few tables.
pub const TABLES: &str = "
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, posts integer DEFAULT 0);
    CREATE TABLE posts (id serial PRIMARY KEY, author uuid NOT NULL REFERENCES auth.users, b text);
    CREATE TABLE comments (id serial PRIMARY KEY, post integer REFERENCES posts,
        parent integer REFERENCES comments, author uuid REFERENCES auth.users ON DELETE SET NULL);
    CREATE TABLE invoices (id serial PRIMARY KEY, user_id uuid REFERENCES auth.users, name text);
    INSERT INTO auth.users VALUES ('00000000-0000-4000-8000-0000000000a1', 'ada@example.org'),
        ('00000000-0000-4000-8000-0000000000b1', 'bob@example.org');
    INSERT INTO posts (author, b) SELECT id, 'b' FROM auth.users, generate_series(1, 2);
    INSERT INTO comments (post, author) SELECT p.id, u.id FROM posts AS p, auth.users AS u;
    INSERT INTO comments (post, parent, author) SELECT post, id, author FROM comments;
    INSERT INTO invoices (user_id, name) SELECT id, email FROM auth.users;";

pub fn request(client: &mut Client, person: &str) -> String {
    value(client, &format!("SELECT crewsnow_ops.request_erasure('{person}', 'ticket')"))
}

pub fn execute(request: &str) -> String {
    format!("SELECT crewsnow_ops.execute_erasure('{request}')")
}

/// The error of an erasure that must fail: SQLSTATE and message. Nothing may be left of it.
fn refused(client: &mut Client, request: &str) -> String {
    let counts = "SELECT (SELECT count(*) FROM auth.users), (SELECT count(*) FROM posts), \
                  (SELECT count(*) FROM comments), \
                  (SELECT count(*) FROM crewsnow_ops.trail_erasures)";
    let before = rows(client, counts);
    let error = client.batch_execute(&execute(request)).expect_err("an erasure that is refused");
    assert_eq!(rows(client, counts), before);
    harness::explain(&error)
}

/// Runs statements, looks, and runs those that undo them.
fn during(client: &mut Client, fault: &str, undo: &str, look: impl FnOnce(&mut Client)) {
    run(client, fault);
    look(client);
    run(client, undo);
}

#[test]
fn an_erasure_is_refused_while_anything_is_undecided() {
    let cluster = Cluster::start("erasure_faults", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, TABLES);
    let ada = request(&mut a, ADA);
    holds_stop_an_erasure(&mut a, &ada);
    triggers_that_keep_rows_stop_an_erasure(&mut a, &ada);
    columns_that_look_like_an_owner_must_be_decided(&mut a, &ada);
    kept_rows_must_not_reference_rows_that_go(&mut a, &ada);
    locks_are_waited_for_briefly(&cluster, &mut a, &ada);
    // The twin without any fault.
    assert!(value(&mut a, &execute(&ada)).ends_with("\nErasure completed"));
    assert_eq!(value(&mut a, "SELECT count(*) FROM auth.users"), "1");
    assert_eq!(value(&mut a, "SELECT count(*) FROM posts"), "2");
    assert_eq!(value(&mut a, "SELECT count(*), count(author) FROM comments"), "8");
    assert_eq!(value(&mut a, "SELECT count(author) FROM comments"), "4");
    assert_eq!(sqlstate(&mut a, &execute(&ada)), "55000", "once");
}

fn holds_stop_an_erasure(a: &mut Client, ada: &str) {
    for (held, id) in [(true, ADA), (true, "ADA@example.org"), (false, BOB)] {
        let hold = format!(
            "INSERT INTO crewsnow_ops.legal_holds (user_id, reason) VALUES ('{id}', 'case 5')"
        );
        during(a, &hold, "DELETE FROM crewsnow_ops.legal_holds", |a| {
            let plan = format!(
                "SELECT count(*) FROM crewsnow_ops.plan_erasure('{ada}') WHERE action = 'refused'"
            );
            assert_eq!(value(a, &plan) == "1", held, "{id}");
            if held {
                assert!(refused(a, ada).starts_with("55000 the person must not be erased"));
            }
        });
    }
    // A hold that has ended, or was released, stops nothing.
    let over = format!(
        "INSERT INTO crewsnow_ops.legal_holds (user_id, reason, ends_at, released_at) VALUES \
         ('{ADA}', 'case', now() - interval '1 s', NULL), ('{ADA}', 'case', NULL, now())"
    );
    during(a, &over, "DELETE FROM crewsnow_ops.legal_holds", |a| {
        let plan = format!(
            "SELECT count(*) FROM crewsnow_ops.plan_erasure('{ada}') WHERE action = 'refused'"
        );
        assert_eq!(value(a, &plan), "0");
    });
}

fn triggers_that_keep_rows_stop_an_erasure(a: &mut Client, ada: &str) {
    let undo = "DROP TRIGGER keep ON posts; DROP FUNCTION keep()";
    for body in ["RETURN NULL", "UPDATE posts SET b = 'deleted' WHERE id = OLD.id; RETURN NULL"] {
        let keep = format!(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
             CREATE TRIGGER keep BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION keep()"
        );
        during(a, &keep, undo, |a| {
            let error = refused(a, ada);
            assert!(error.starts_with("55000 2 rows of public.posts are still there"), "{error}");
        });
    }
    // A trigger that counts is none that keeps, and finds its tables without their schemas.
    let count = "CREATE TABLE counters (n integer); INSERT INTO counters VALUES (0);
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE counters SET n = n + 1; UPDATE auth.users SET posts = posts - 1; RETURN OLD;
        END $$;
        CREATE TRIGGER keep BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION keep()";
    during(a, count, undo, |a| {
        run(a, &format!("BEGIN; {}", execute(ada)));
        assert_eq!(value(a, "SELECT n FROM counters"), "2");
        run(a, "ROLLBACK");
    });
    // The error of a trigger may quote rows.
    let fails = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'secret of %', OLD.b USING ERRCODE = 'XY123'; END $$;
        CREATE TRIGGER keep BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION keep()";
    during(a, fails, undo, |a| {
        let error = refused(a, ada);
        assert!(error.contains("XY123") && !error.contains("secret"), "{error}");
    });
}

fn columns_that_look_like_an_owner_must_be_decided(a: &mut Client, ada: &str) {
    let table = format!(
        "CREATE TABLE notes (id serial, user_id text, t text);
         INSERT INTO notes (user_id, t) VALUES ('{ADA}', 'x'), ('{BOB}', 'y'), (NULL, 'z')"
    );
    let undo = "DROP TABLE notes; DELETE FROM crewsnow_ops.erasure_rules";
    during(a, &table, undo, |a| {
        let undecided = format!(
            "SELECT object, row_count, by, command FROM crewsnow_ops.plan_erasure('{ada}') \
             WHERE action = 'undecided'"
        );
        let found = rows(a, &undecided);
        assert!(found.len() == 1 && found[0].starts_with("public.notes|1|user_id|"), "{found:?}");
        assert!(refused(a, ada).starts_with("55000 the erasure is incomplete at public.notes"));
        // The command of the plan decides.
        run(a, found[0].split('|').nth(3).expect("a command"));
        assert!(rows(a, &undecided).is_empty());
        run(a, &format!("BEGIN; {}", execute(ada)));
        assert_eq!(rows(a, "SELECT t FROM notes ORDER BY t"), ["y", "z"]);
        run(a, "ROLLBACK");
    });
}

fn kept_rows_must_not_reference_rows_that_go(a: &mut Client, ada: &str) {
    let keep = "INSERT INTO crewsnow_ops.erasure_rules (target, owner_column, action, legal_basis) \
                VALUES ('public.invoices', 'user_id', 'keep', 'tax law')";
    during(a, keep, "DELETE FROM crewsnow_ops.erasure_rules", |a| {
        let error = refused(a, ada);
        assert!(
            error.contains("a rule keeps these rows, and they reference auth.users"),
            "{error}"
        );
        let command = format!(
            "SELECT command FROM crewsnow_ops.plan_erasure('{ada}') WHERE action = 'refused'"
        );
        let command = value(a, &command);
        run(a, &command);
        run(
            a,
            "UPDATE crewsnow_ops.erasure_rules \
             SET replacements = replacements || '{\"name\": \"{pseudonym}\"}'",
        );
        run(a, &format!("BEGIN; {}", execute(ada)));
        let invoices = "SELECT user_id, left(name, 7) FROM invoices ORDER BY id";
        assert_eq!(rows(a, invoices), ["NULL|erased-", &format!("{BOB}|bob@exa")]);
        run(a, "ROLLBACK");
    });
    // A rule of the server's rewriter could do anything else.
    let rewritten = "CREATE RULE soft AS ON DELETE TO posts DO INSTEAD NOTHING";
    during(a, rewritten, "DROP RULE soft ON posts", |a| {
        assert!(refused(a, ada).contains("a rule replaces UPDATE or DELETE"));
    });
    // A rule of a table that is gone could have kept rows.
    let gone = "CREATE TABLE old (id integer); INSERT INTO crewsnow_ops.erasure_rules \
                (target, action, legal_basis) VALUES ('public.old', 'keep', 'law'); DROP TABLE old";
    during(a, gone, "DELETE FROM crewsnow_ops.erasure_rules", |a| {
        assert!(refused(a, ada).contains("a rule names this table, which does not exist"));
    });
}

fn locks_are_waited_for_briefly(cluster: &Cluster, a: &mut Client, ada: &str) {
    let mut other = cluster.connect("shop");
    let pid = value(&mut other, "SELECT pg_backend_pid()");
    run(&mut other, "BEGIN; LOCK TABLE posts IN EXCLUSIVE MODE");
    let error = refused(a, ada);
    assert!(error.starts_with("55P03") && error.contains(&pid), "{error}");
    run(&mut other, "ROLLBACK");
}

#[test]
fn planted_traces_are_found() {
    let cluster = Cluster::start("erasure_traces", "");
    let mut a = cluster.create_database("shop");
    run(&mut a, TABLES);
    run(
        &mut a,
        "CREATE TABLE places (a jsonb, b text[], c bytea, d uuid, e uuid[], f xml, g json, \
         h varchar(80), i char(60)); CREATE ROLE reader_of_little;
         SELECT crewsnow_ops.grant_access('reader_of_little', 'admin');",
    );
    let ada = request(&mut a, ADA);
    let proof =
        format!("SELECT verdict, object, column_name FROM crewsnow_ops.prove_erasure('{ada}')");
    assert_eq!(sqlstate(&mut a, &proof), "55000", "not executed yet");
    run(&mut a, &execute(&ada));
    assert_eq!(rows(&mut a, &proof), ["PROVED|NULL|NULL"]);
    for (column, place) in [
        ("a", "jsonb_build_object('k', ARRAY[E'a line\\nada@example.org'])".to_owned()),
        ("a", format!("jsonb_build_object('{ADA}', 1)")),
        ("b", "ARRAY['x', 'ADA@example.org']".into()),
        ("c", "'from ada@example.org.'".into()),
        ("d", format!("'{ADA}'")),
        ("e", format!("ARRAY['{BOB}', '{ADA}']::uuid[]")),
        ("f", format!("'<a>{ADA}</a>'")),
        ("g", "'{\"x\": \"ada@example.org\"}'".into()),
        ("h", format!("upper('see {ADA}!')")),
        ("i", "'ada@example.org'".into()),
    ] {
        let plant = format!("INSERT INTO places ({column}) VALUES ({place})");
        during(&mut a, &plant, "TRUNCATE places", |a| {
            let trace = format!("TRACES|public.places|{column}");
            assert_eq!(rows(a, &proof), [&trace, "TRACES|NULL|NULL"], "{place}");
        });
    }
    // Other persons, and similar texts, are no traces.
    let similar = format!(
        "INSERT INTO places (a, b, d) VALUES ('\"bob@example.org\"', \
         '{{xada@example.org,ada@example.org.uk}}', '{BOB}')"
    );
    during(&mut a, &similar, "TRUNCATE places", |a| {
        assert_eq!(rows(a, &proof), ["PROVED|NULL|NULL"]);
    });
    // With the id, parts of words are found, too. The id must be the right one.
    let with_id =
        format!("SELECT verdict, object FROM crewsnow_ops.prove_erasure('{ada}', '{ADA}')");
    let joined = format!("INSERT INTO places (h) VALUES ('user_{}_x')", ADA);
    during(&mut a, &joined, "TRUNCATE places", |a| {
        assert_eq!(rows(a, &with_id)[0], "TRACES|public.places");
    });
    let other = format!("SELECT * FROM crewsnow_ops.prove_erasure('{ada}', '{BOB}')");
    assert_eq!(sqlstate(&mut a, &other), "22023");
    // A materialized view keeps old rows until it is refreshed.
    let view = format!(
        "INSERT INTO places (d) VALUES ('{ADA}'); CREATE MATERIALIZED VIEW kept AS \
         SELECT d FROM places; TRUNCATE places"
    );
    during(&mut a, &view, "DROP MATERIALIZED VIEW kept", |a| {
        let command = format!(
            "SELECT command FROM crewsnow_ops.prove_erasure('{ada}') WHERE object = 'public.kept'"
        );
        let command = value(a, &command);
        assert_eq!(command, "REFRESH MATERIALIZED VIEW public.kept;");
        run(a, &command);
        assert_eq!(rows(a, &proof), ["PROVED|NULL|NULL"]);
    });
    // Planner statistics hold sampled values until the next ANALYZE.
    let sampled = format!(
        "INSERT INTO places (d) SELECT '{ADA}' FROM generate_series(1, 50); ANALYZE places; \
         TRUNCATE places"
    );
    // ANALYZE leaves the statistics of an empty table as they are.
    let undo = "INSERT INTO places (h) VALUES ('x'); ANALYZE places; TRUNCATE places";
    during(&mut a, &sampled, undo, |a| {
        assert_eq!(rows(a, &proof)[0], "TRACES|pg_catalog.pg_stats|most_common_vals");
    });
    // Unseen is not proved.
    run(&mut a, "SET ROLE reader_of_little");
    let little = rows(&mut a, &proof);
    assert!(little.contains(&"SKIPPED|public.places|NULL".to_owned()), "{little:?}");
    assert_eq!(little.last().map(String::as_str), Some("SKIPPED|NULL|NULL"));
    run(&mut a, "RESET ROLE; DROP OWNED BY reader_of_little; DROP ROLE reader_of_little");
}

#[test]
fn bad_requests_and_rules_are_refused() {
    let cluster = Cluster::start("erasure_bad", "");
    let mut a = cluster.create_database("shop");
    let call = |id: &str| format!("SELECT crewsnow_ops.request_erasure({id}, 'ticket')");
    assert_eq!(sqlstate(&mut a, &call("'1'")), "42P01", "no users table");
    run(&mut a, TABLES);
    run(&mut a, "CREATE VIEW seen AS SELECT * FROM posts");
    let rule = |values: &str| {
        format!(
            "INSERT INTO crewsnow_ops.erasure_rules (target, owner_column, action, replacements, \
             legal_basis) VALUES ({values})"
        )
    };
    for (state, sql) in [
        ("22023", call("'nonsense'")),
        ("22004", call("NULL")),
        ("22023", format!("SELECT crewsnow_ops.request_erasure('{ADA}', ' ')")),
        ("42704", execute(ADA)),
        ("42704", format!("SELECT * FROM crewsnow_ops.plan_erasure('{ADA}')")),
        ("42704", format!("SELECT * FROM crewsnow_ops.prove_erasure('{ADA}')")),
        ("22004", "SELECT crewsnow_ops.execute_erasure(NULL)".into()),
        ("25006", format!("BEGIN READ ONLY; {}", execute(ADA))),
        ("25001", format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {}", execute(ADA))),
        ("42P01", rule("'public.nothing', NULL, 'keep', NULL, 'law'")),
        ("42P01", rule("'((', NULL, 'keep', NULL, 'law'")),
        ("42P01", rule("'public.seen', NULL, 'keep', NULL, 'law'")),
        ("42P01", rule("'pg_class', NULL, 'keep', NULL, 'law'")),
        ("42703", rule("'public.posts', 'nothing', 'keep', NULL, 'law'")),
        ("42703", rule("'public.posts', NULL, 'anonymise', '{\"nothing\": null}', 'law'")),
        ("42804", rule("'public.comments', NULL, 'anonymise', '{\"post\": \"x\"}', 'law'")),
        ("22023", rule("'public.posts', NULL, 'anonymise', '{\"id\": \"1\"}', 'law'")),
        ("22023", rule("'public.posts', NULL, 'anonymise', '{}', 'law'")),
        ("22023", rule("'public.posts', NULL, 'anonymise', '[1]', 'law'")),
        ("22023", rule("'public.posts', NULL, 'anonymise', '{\"b\": 1e400}', 'law'")),
        ("23514", rule("'public.posts', NULL, 'anonymise', NULL, 'law'")),
        ("23514", rule("'public.posts', NULL, 'forget', NULL, 'law'")),
    ] {
        assert_eq!(sqlstate(&mut a, &sql), state, "{sql}");
        run(&mut a, "ROLLBACK");
    }
    let ada = request(&mut a, ADA);
    assert_eq!(sqlstate(&mut a, &call(&format!("'{}'", ADA.to_uppercase()))), "55000", "open");
    // A request can be taken back while it is open.
    run(&mut a, &format!("DELETE FROM crewsnow_ops.erasure_requests WHERE id = '{ada}'"));
    request(&mut a, ADA);
    // A plan is a reading: it works in a read-only transaction.
    let ada = value(&mut a, "SELECT id FROM crewsnow_ops.erasure_requests");
    let plan = format!("SELECT count(*) FROM crewsnow_ops.plan_erasure('{ada}')");
    run(&mut a, "BEGIN READ ONLY");
    assert_ne!(value(&mut a, &plan), "0");
    run(&mut a, "ROLLBACK");
}
