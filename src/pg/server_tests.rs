//! The glue inside the server, each test in a transaction that is rolled back.

#[pgrx::pg_schema]
mod tests {
    use crate::pg::catalog::privilege::Command;
    use crate::pg::rewrite::policy_overlay::{NotApplied, keeps_conditions, with_changed_policies};
    use crate::pg::rewrite::row_security::{RelationRef, effective};
    use crate::pg::xact::sec_context::{Sandbox, as_client, sandboxed};
    use crate::pg::xact::subtransaction::{Failure, catching, isolated, try_in_subxact};
    use crate::pg::xact::timeout::{Stopped, isolated_within};
    use pgrx::prelude::*;

    fn run(sql: &str) {
        Spi::run(sql).expect(sql);
    }

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).expect(sql).expect("not NULL")
    }

    fn role(name: &str) -> pg_sys::Oid {
        crate::pg::catalog::lookup::role(name).expect("a role")
    }

    /// A client role, a table that it may not read, and one whose trigger is deferred.
    fn a_client() -> pg_sys::Oid {
        run("CREATE ROLE glue_client;
            CREATE TABLE glue_secret (id integer);
            CREATE TABLE glue_parent (id integer PRIMARY KEY);
            INSERT INTO glue_parent VALUES (1);
            CREATE TABLE glue_child (
                id integer REFERENCES glue_parent DEFERRABLE INITIALLY DEFERRED
            );
            GRANT INSERT ON glue_child TO glue_client");
        role("glue_client")
    }

    fn classes(failure: &Failure) -> String {
        let class = match (
            failure.is_interrupt(),
            failure.is_sandbox_violation(),
            failure.is_transient(),
        ) {
            (true, false, false) => "interrupt",
            (false, true, false) => "sandbox",
            (false, false, true) => "transient",
            (false, false, false) => "ordinary",
            several => panic!("{several:?}: {failure:?}"),
        };
        format!("{class} {}", failure.state())
    }

    fn in_sandbox(client: pg_sys::Oid, sql: &str) -> String {
        let work = |sandbox: &Sandbox| {
            sandbox.enter(client, []);
            run(sql);
        };
        classes(&sandboxed(work).expect_err(sql))
    }

    /// The class of each kind of failure. SQL that raises the same SQLSTATE, or the same message,
    /// must not pass for the server.
    fn each_class(client: pg_sys::Oid) -> Vec<(String, &'static str)> {
        let mut seen = Vec::new();
        for (sql, expected) in [
            ("SET ROLE postgres", "sandbox 42501"),
            ("RESET SESSION AUTHORIZATION", "sandbox 42501"),
            ("LISTEN glue", "sandbox 42501"),
            ("CREATE TEMP TABLE glue_temp (id integer)", "sandbox 42501"),
            (
                "DO $$ BEGIN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; END $$",
                "sandbox 42501",
            ),
            ("INSERT INTO glue_child VALUES (1)", "sandbox 42501"),
            ("SELECT FROM glue_secret", "ordinary 42501"),
            // The C function that refuses this one also refuses SET ROLE.
            ("SET log_statement = 'all'", "ordinary 42501"),
            ("CREATE ROLE glue_other", "ordinary 42501"),
            ("DO $$ BEGIN RAISE SQLSTATE '42501' USING MESSAGE = 'no'; END $$", "ordinary 42501"),
            ("SELECT 1 / 0", "ordinary 22012"),
            (
                "DO $$ BEGIN RAISE SQLSTATE '57014'
                    USING MESSAGE = 'canceling statement due to user request'; END $$",
                "ordinary 57014",
            ),
        ] {
            seen.push((format!("{sql}: {}", in_sandbox(client, sql)), expected));
        }
        let read_only = as_client(client, &[], || run("INSERT INTO glue_child VALUES (1)"));
        seen.push((
            format!("writes: {}", classes(&read_only.expect_err("writes"))),
            "sandbox 25006",
        ));
        let cancel = || run("SELECT pg_cancel_backend(pg_backend_pid()); SELECT pg_sleep(10)");
        let cancelled = try_in_subxact(cancel).expect_err("cancelled");
        seen.push((format!("cancel: {}", classes(&cancelled)), "interrupt 57014"));
        // An outer catcher recognizes the interrupt that an inner one has raised again.
        let again = try_in_subxact(|| {
            if let Err(failure) = try_in_subxact(cancel) {
                failure.raise();
            }
        });
        seen.push((format!("again: {}", classes(&again.expect_err("again"))), "interrupt 57014"));
        let stopped = match isolated_within(100, || run("SELECT pg_sleep(10)")) {
            Err(Stopped::TimedOut(milliseconds)) => format!("timed out {milliseconds}"),
            other => format!("{other:?}"),
        };
        seen.push((format!("timeout: {stopped}"), "timed out 100"));
        seen
    }

    fn assert_each_class(client: pg_sys::Oid) {
        for (seen, expected) in each_class(client) {
            assert!(seen.ends_with(&format!(": {expected}")), "{seen} instead of {expected}");
        }
    }

    fn division_by_zero() -> String {
        let codes = [PgSqlErrorCode::ERRCODE_DIVISION_BY_ZERO];
        catching(&codes, || run("SELECT 1 / 0")).expect_err("it fails").message
    }

    #[pg_test]
    fn failures_have_their_class() {
        let client = a_client();
        assert_eq!(division_by_zero(), "division by zero");
        assert_each_class(client);
    }

    /// The redacted message of a statement that fails in the sandbox.
    fn redacted(client: pg_sys::Oid, sql: &str) -> String {
        let work = |sandbox: &Sandbox| {
            sandbox.enter(client, []);
            run(sql);
        };
        sandboxed(work).expect_err(sql).redacted_message()
    }

    /// SQL can raise each SQLSTATE with a message of values, and can compose a statement of them.
    #[pg_test]
    fn messages_that_sql_composes_are_withheld() {
        let client = a_client();
        for state in [
            "42501", "42P17", "54001", "57014", "55P03", "25006", "40001", "40P01", "53200",
            "53100", "58030", "42P01", "42601", "22012", "23505", "P0001", "XX000", "0A000",
        ] {
            let raise = format!(
                "DO $$ BEGIN RAISE SQLSTATE '{state}' USING MESSAGE = 'rowvalue',
                    DETAIL = 'rowvalue', HINT = 'rowvalue'; END $$"
            );
            let message = redacted(client, &raise);
            assert!(message.starts_with(&format!("{state} ")), "{message}");
            assert!(!message.contains("rowvalue"), "{message}");
        }
        for (statement, expected) in [
            ("SELECT * FROM rowvalue", "42P01 undefined_table (message withheld"),
            ("SELECT rowvalue", "42703 undefined_column (message withheld"),
            ("SELECT rowvalue(1)", "42883 undefined_function (message withheld"),
            ("rowvalue", "42601 syntax_error (message withheld"),
            ("SELECT ''rowvalue''::integer", "22P02 invalid_text_representation (message"),
            ("SELECT set_config(''rowvalue'', ''x'', true)", "42704 undefined_object (message"),
        ] {
            let message = redacted(client, &format!("DO $$ BEGIN EXECUTE '{statement}'; END $$"));
            assert!(message.starts_with(expected), "{message} instead of {expected}");
            assert!(!message.contains("rowvalue"), "{message}");
        }
    }

    #[pg_test]
    fn messages_of_the_server_about_objects_are_shown() {
        let client = a_client();
        run("CREATE FUNCTION glue_deep() RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN RETURN glue_deep(); END $$");
        for (sql, expected) in [
            ("SELECT FROM glue_secret", "42501: permission denied for table glue_secret"),
            ("LISTEN glue", "42501: cannot execute LISTEN within security-restricted operation"),
            (
                "SET ROLE postgres",
                "42501: cannot set parameter \"role\" within security-definer function",
            ),
            (
                "SET LOCAL transaction_read_only = on; INSERT INTO glue_child VALUES (1)",
                "25006: cannot execute INSERT in a read-only transaction",
            ),
            ("SELECT glue_deep()", "54001: stack depth limit exceeded"),
        ] {
            assert_eq!(redacted(client, sql), expected);
        }
    }

    fn nest_level() -> i32 {
        // SAFETY: reads backend-local state.
        unsafe { pg_sys::GetCurrentTransactionNestLevel() }
    }

    /// Runs work that lets an error or a panic pass, and catches it.
    fn catch(work: impl FnOnce()) {
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        assert!(passed.is_err(), "nothing passed");
    }

    /// An internal subtransaction that stays open ends the session with FATAL at the next ROLLBACK.
    #[pg_test]
    fn no_error_leaves_a_subtransaction_open() {
        let client = a_client();
        let before = (nest_level(), text("SELECT current_user::text"));
        let fails = || run("SELECT 1 / 0");
        let cancel = || run("SELECT pg_cancel_backend(pg_backend_pid()); SELECT pg_sleep(10)");
        let assert_closed = |what: &str| {
            assert_eq!((nest_level(), text("SELECT current_user::text")), before, "{what}");
        };
        let other = [PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE];
        catch(|| drop(catching(&other, fails)));
        assert_closed("an error that is not listed");
        catch(|| drop(catching(&other, cancel)));
        assert_closed("a cancel that is not listed");
        catch(|| drop(catching(&other, || panic!("a fault"))));
        assert_closed("a panic");
        catch(|| drop(catching(&other, || catching(&other, fails))));
        assert_closed("an error through two levels");
        catch(|| drop(isolated(cancel)));
        assert_closed("a cancel that is raised again");
        catch(|| drop(isolated_within(10_000, cancel)));
        assert_closed("a cancel within a time limit");
        catch(|| {
            let _ = as_client(client, &[], || catching(&other, fails)).map_err(Failure::raise);
        });
        assert_closed("an error raised again by the caller of a sandbox");
        assert!(try_in_subxact(|| panic!("a fault")).is_err());
        assert_closed("a panic that is caught");
        catch(|| drop(catching(&other, || std::panic::panic_any(7))));
        assert_closed("a panic without a message");
    }

    /// The session-level holds of an advisory lock in a mode, with and without `_shared`.
    fn holds(key: i32) -> [usize; 2] {
        ["", "_shared"].map(|mode| {
            let call = |action: &str| format!("SELECT pg_advisory_{action}{mode}({key})::text");
            let mut count = 0;
            while text(&call("unlock")) == "true" {
                count += 1;
            }
            (0..count).for_each(|_| run(&call("lock")));
            count
        })
    }

    fn in_sandbox_anyway(client: pg_sys::Oid, sql: &str) {
        let _ = sandboxed(|sandbox| {
            sandbox.enter(client, []);
            run(sql);
        });
    }

    fn advisory_locks() -> String {
        text(
            "SELECT coalesce(string_agg(format('%s %s', objid, mode), ', ' ORDER BY objid, mode),
                'none')
             FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        )
    }

    #[pg_test]
    fn a_sandbox_leaves_no_advisory_lock() {
        let client = a_client();
        for sql in [
            "SELECT pg_advisory_lock(7), pg_advisory_lock_shared(8), pg_try_advisory_lock(9)",
            "SELECT pg_advisory_lock(7), pg_advisory_lock(7), 1 / 0",
            "SELECT pg_advisory_xact_lock(7)",
        ] {
            in_sandbox_anyway(client, sql);
            assert_eq!(advisory_locks(), "none", "{sql}");
        }
    }

    /// Exactly as many holds remain as there were, so that each unlock of the caller succeeds.
    #[pg_test]
    fn a_sandbox_leaves_the_advisory_locks_of_the_caller() {
        let client = a_client();
        run("SELECT pg_advisory_lock(7), pg_advisory_lock(7), pg_advisory_lock_shared(8),
                pg_advisory_xact_lock(9)");
        let locks = "7 ExclusiveLock, 8 ShareLock, 9 ExclusiveLock";
        for sql in [
            "SELECT 1",
            "SELECT pg_advisory_lock(7)",
            "SELECT pg_advisory_lock_shared(7)",
            "SELECT pg_advisory_lock(9)",
            "SELECT pg_advisory_lock(8), pg_advisory_lock(10)",
            "SELECT pg_advisory_unlock(7)",
            "SELECT pg_advisory_unlock(7), pg_advisory_unlock(7), pg_advisory_unlock_shared(8)",
            "SELECT pg_advisory_unlock_all()",
            "SELECT pg_advisory_unlock_all(); SELECT 1 / 0",
            "SELECT pg_advisory_unlock_all(); SELECT pg_advisory_lock(8), pg_advisory_lock(10)",
        ] {
            in_sandbox_anyway(client, sql);
            assert_eq!(advisory_locks(), locks, "{sql}");
            assert_eq!([7, 8, 9].map(holds), [[2, 0], [0, 1], [0, 0]], "{sql}");
        }
    }

    /// glibc honours LANGUAGE in each locale but C, so the machine needs no French locale. The
    /// servers of 16 and 18 that tests can have come without message catalogs.
    #[cfg(feature = "pg15")]
    #[pg_test]
    fn failures_have_their_class_in_another_language() {
        let client = a_client();
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var("LANGUAGE", "fr") };
        run("SET LOCAL lc_messages = 'C.UTF-8'");
        assert_eq!(division_by_zero(), "division par zéro");
        assert_each_class(client);
    }

    /// `as_client` writes the server's `role_string` for this.
    #[pg_test]
    fn show_role_agrees_inside_the_sandbox() {
        let client = a_client();
        let shown = || {
            let (role, user) = ("SELECT current_setting('role')", "SELECT current_user::text");
            format!("{} {}", text(role), text(user))
        };
        let inside = || as_client(client, &[], shown);
        let outside = shown();
        assert!(outside.starts_with("none "), "{outside}");
        assert_eq!(inside().expect("runs"), "glue_client glue_client");
        assert_eq!(shown(), outside);
        run("CREATE ROLE glue_owner; SET LOCAL ROLE glue_owner");
        assert_eq!(shown(), "glue_owner glue_owner");
        assert_eq!(inside().expect("runs"), "glue_client glue_client");
        assert_eq!(shown(), "glue_owner glue_owner");
        let failed = as_client(client, &[], || run("SELECT 1 / 0"));
        assert_eq!(failed.expect_err("it fails").state(), "22012");
        assert_eq!(shown(), "glue_owner glue_owner");
        run("RESET ROLE");
        assert_eq!(shown(), outside);
    }

    #[pg_test]
    fn query_rows_have_the_declared_types() {
        run("SELECT FROM crewsnow_ops.checklist('post-incident');
            SELECT FROM crewsnow_ops.blocking_tree;
            SELECT FROM crewsnow_ops.connections;
            SELECT FROM connection_monitoring");
        run("CREATE FUNCTION wrong_type(text) RETURNS TABLE (
                checklist text, item text, phase text, due_within bigint, task text, command text
            ) LANGUAGE c AS '$libdir/crewsnow_ops', 'checklist_wrapper'");
        let codes = [PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH];
        let failure = catching(&codes, || run("SELECT FROM wrong_type('post-incident')"));
        let message = failure.expect_err("another type").message;
        assert_eq!(message, "query returns other column types than its function declares");
    }

    /// A table with a policy, and the qual that the server enforces for reads of its client.
    fn a_policy() -> (RelationRef, impl Fn() -> String) {
        let client = a_client();
        run("CREATE TABLE glue_notes (id integer, owner integer);
            GRANT SELECT ON glue_notes TO glue_client;
            ALTER TABLE glue_notes ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON glue_notes TO glue_client USING (id > 1)");
        let oid = text("SELECT 'glue_notes'::regclass::oid::text").parse::<u32>().expect("an oid");
        let named = move || RelationRef {
            table: pg_sys::Oid::from(oid),
            name: "glue_notes".to_owned(),
            column: "id".to_owned(),
        };
        let qual = move || {
            let read = || effective(Command::Select, &named()).map(|effective| effective.using);
            let using = as_client(client, &[], || read().map(|using| using.to_sql(named().table)));
            using.expect("runs").expect("a qual")
        };
        (named(), qual)
    }

    #[pg_test]
    fn changed_policies_apply_inside_the_closure_alone() {
        let (table, qual) = a_policy();
        let narrowed = "ALTER POLICY p ON glue_notes USING ((id > 1) AND owner = 3)";
        let inside = with_changed_policies(&table, narrowed, &qual).expect("it applies");
        assert_eq!(inside, "((id > 1) AND (owner = 3))");
        assert_eq!(qual(), "(id > 1)");
        let dropped = with_changed_policies(&table, "DROP POLICY p ON glue_notes", &qual);
        assert_eq!(dropped.expect("it applies"), "false");
        let for_others = "ALTER POLICY p ON glue_notes TO pg_monitor";
        assert_eq!(with_changed_policies(&table, for_others, &qual).expect("it applies"), "false");
        let failed = try_in_subxact(std::panic::AssertUnwindSafe(|| {
            with_changed_policies(&table, narrowed, || run("SELECT 1 / 0"))
        }));
        assert_eq!(failed.expect_err("it fails").state(), "22012");
        assert_eq!(qual(), "(id > 1)");
    }

    #[pg_test]
    fn an_invalidation_discards_the_changed_policies() {
        let (table, qual) = a_policy();
        let narrowed = "ALTER POLICY p ON glue_notes USING ((id > 1) AND owner = 3)";
        let result = with_changed_policies(&table, narrowed, || {
            crate::pg::catalog::invalidation::announce(table.table);
            run("SELECT 1");
            qual()
        });
        assert!(matches!(result, Err(NotApplied::Discarded)), "{:?}", result.ok());
        assert_eq!(qual(), "(id > 1)");
    }

    #[pg_test]
    fn other_statements_are_no_changes_of_policies() {
        let (table, qual) = a_policy();
        for sql in
            ["SELECT 1", "ALTER POLICY p ON glue_secret USING (true)", "DROP TABLE glue_notes"]
        {
            let result = with_changed_policies(&table, sql, &qual);
            assert!(matches!(result, Err(NotApplied::Unsupported)), "{sql}");
        }
        let same = "ALTER POLICY p ON glue_notes USING ((SELECT id) > 1)";
        assert!(!keeps_conditions(&table, same).expect("it is parsed"));
        let same = "ALTER POLICY p ON glue_notes USING (id > (SELECT 1))";
        assert!(keeps_conditions(&table, same).expect("it is parsed"));
        let other = "ALTER POLICY p ON glue_notes USING (id > (SELECT 2))";
        assert!(!keeps_conditions(&table, other).expect("it is parsed"));
    }
}
