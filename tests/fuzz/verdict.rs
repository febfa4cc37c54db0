//! What counts as a fault of a call, of the privileges after all calls, and of the server's log.

use crate::application::{ROLES, Role};
use crate::functions::Callable;
use harness::rows;
use postgres::{Client, SimpleQueryMessage};

/// The roles that may call each function.
pub fn allowed(client: &mut Client, callables: &[Callable]) -> Vec<Vec<&'static str>> {
    let mut may = |callable: &Callable, role: &Role| callable.is_allowed(client, role.name);
    callables
        .iter()
        .map(|callable| {
            let roles = ROLES.iter().filter(|role| may(callable, role));
            roles.map(|role| role.name).collect()
        })
        .collect()
}

/// SQLSTATEs of internal errors: class XX, and a text that only a panic has.
fn is_internal(error: &postgres::error::DbError) -> bool {
    error.code().code().starts_with("XX")
}

/// Makes a call and puts the session back. `Err` is a fault.
pub fn of_call(
    session: &mut Client,
    role: &Role,
    batches: &[String],
    call: &str,
    is_allowed: bool,
) -> Result<(), String> {
    let mut succeeded = false;
    for batch in batches {
        match session.simple_query(batch) {
            Ok(answers) => {
                // The planner evaluates a strict function of NULL without calling it.
                let has_value = answers.iter().any(|answer| match answer {
                    SimpleQueryMessage::Row(row) => row.get(0).is_some_and(|value| value != "0"),
                    _ => false,
                });
                succeeded |= batch == call && has_value;
            }
            Err(error) => match error.as_db_error() {
                Some(error) if is_internal(error) => {
                    return Err(format!("{} {}", error.code().code(), error.message()));
                }
                Some(error) if error.code().code() == "57P01" => {
                    return Err("the session ended itself".to_owned());
                }
                Some(_) => {}
                None => return Err(format!("the session is lost: {error}")),
            },
        }
    }
    // A statement_timeout of the state may hit the ROLLBACK, too.
    let _ = session.simple_query("ROLLBACK");
    let _ = session.simple_query("RESET statement_timeout");
    let after = "ROLLBACK; CLOSE ALL; DEALLOCATE ALL; DISCARD TEMP; RESET ALL;
        SELECT current_user || ' ' || session_user || ' ' || current_setting('is_superuser')";
    let answers = session.simple_query(after).map_err(|error| {
        format!("the session is unusable afterwards: {}", harness::explain(&error))
    })?;
    let identity = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let superuser = if role.name == "postgres" { "on" } else { "off" };
    let expected = format!("{0} {0} {superuser}", role.name);
    if identity.as_deref() != Some(&expected) {
        return Err(format!("the session is {identity:?} afterwards"));
    }
    if succeeded && !is_allowed {
        return Err("the call succeeded without the privilege".to_owned());
    }
    Ok(())
}

/// The privileges of everything that a weak role must not change: roles, memberships, owners and
/// access lists.
pub fn privileges(client: &mut Client) -> Vec<String> {
    rows(
        client,
        "SELECT 'role', rolname, rolsuper::text || rolcreaterole || rolbypassrls || rolreplication
         FROM pg_authid
         UNION ALL SELECT 'function', oid::regprocedure::text,
            proowner::regrole || ' ' || prosecdef || ' ' || coalesce(proacl::text, '')
         FROM pg_proc WHERE oid >= 16384
         UNION ALL SELECT 'relation', oid::regclass::text,
            relowner::regrole || ' ' || coalesce(relacl::text, '')
         FROM pg_class WHERE oid >= 16384 AND relnamespace NOT IN (
            SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg_%') AND relispartition IS FALSE
         UNION ALL SELECT 'schema', nspname, coalesce(nspacl::text, '')
         FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' ORDER BY 1, 2, 3",
    )
}

/// A weak role has gained what the access lists give it now and did not give before.
pub fn of_privileges(before: &[String], after: &[String]) -> Vec<String> {
    let weak = ROLES.iter().filter(|role| !role.is_strong).map(|role| role.name);
    let weak: Vec<&str> = weak.collect();
    let gained = after.iter().filter(|row| !before.contains(row));
    gained
        .filter(|row| row.starts_with("role|") || weak.iter().any(|role| row.contains(role)))
        .map(|row| format!("a privilege was gained: {row}"))
        .collect()
}

/// Lines of the server's log that no call may cause.
pub fn of_log(log: &str) -> Vec<String> {
    const FAULTS: [&str; 9] = [
        "panicked",
        "PANIC:",
        "TRAP:",
        "was terminated by signal",
        "terminating any other active",
        "reference leak",
        "resource was not closed",
        "you don't own a lock",
        "ERRORDATA_STACK_SIZE",
    ];
    let is_fault = |line: &&str| FAULTS.iter().any(|fault| line.contains(fault));
    // A statement is logged after its error, and may contain these words.
    let lines = log.lines().filter(|line| !line.contains("STATEMENT:"));
    let mut found: Vec<String> =
        lines.filter(is_fault).map(|line| format!("the server's log: {line}")).collect();
    found.truncate(50);
    found
}
