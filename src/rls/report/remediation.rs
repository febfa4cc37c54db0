//! Remediations: the smallest SQL that closes a finding and keeps owners' access to their rows.

use crate::pg::catalog::lookup;
use crate::rls::model::Reach;
use crate::rls::target::application::Application;
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use pgrx::spi::quote_identifier;

/// The qual "the row belongs to the identity"; `None` if no owner column has the type of the
/// identity.
fn own(application: &Application, table: &Table) -> Option<String> {
    let identity = application.identity.as_ref()?;
    // An owner column of another type cannot be compared with the identity function.
    let type_ =
        application.identity_functions.first().map(|function| lookup::return_type(*function));
    let names: Vec<String> = table
        .owners
        .iter()
        .filter(|owner| owner.is_plain_id() && Some(owner.type_) == type_)
        .map(|owner| quote_identifier(&owner.name))
        .collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{one} = (SELECT {identity})")),
        several => Some(format!("(SELECT {identity}) IN ({})", several.join(", "))),
    }
}

/// The statements, after a comment that names the role that may run them.
fn script(table: &Table, statements: &[String]) -> Option<String> {
    if statements.is_empty() {
        return None;
    }
    let script = statements.join("\n");
    Some(if table.is_own {
        script
    } else {
        format!("-- as {}:\n{script}", table.owner.replace(['\n', '\r'], " "))
    })
}

/// Remediation of a leak.
pub fn of_leak(
    application: &Application,
    table: &Table,
    reach: Reach,
    responsible_policies: &[Policy],
) -> Option<String> {
    let name = &table.named.name;
    let own = own(application, table)?;
    if !table.is_secured {
        let role = quote_identifier(&application.user_role()?.name);
        return script(
            table,
            &[
                format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"),
                format!(
                    "CREATE POLICY \"Owners manage their rows\" ON {name} TO {role} USING ({own}) \
                     WITH CHECK ({own});"
                ),
            ],
        );
    }
    let statements: Vec<String> = responsible_policies
        .iter()
        .map(|policy| {
            let clauses = match (policy.command, reach) {
                ('a', _) => format!("WITH CHECK ({own})"),
                ('r' | 'd', _) | ('*', Reach::Read | Reach::Destroy) => format!("USING ({own})"),
                (_, Reach::TakeOver | Reach::Plant | Reach::Forge) => format!("WITH CHECK ({own})"),
                _ => format!("USING ({own}) WITH CHECK ({own})"),
            };
            format!("ALTER POLICY {} ON {name} {clauses};", quote_identifier(&policy.name))
        })
        .collect();
    script(table, &statements)
}

/// Remediation of an open write. The owner of the rows is not known, so the policy is dropped.
pub fn of_open_write(table: &Table, responsible_policies: &[Policy]) -> Option<String> {
    let name = &table.named.name;
    let statements: Vec<String> = match table.is_secured {
        true => responsible_policies
            .iter()
            .map(|policy| format!("DROP POLICY {} ON {name};", quote_identifier(&policy.name)))
            .collect(),
        false => vec![format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;")],
    };
    script(table, &statements)
}
