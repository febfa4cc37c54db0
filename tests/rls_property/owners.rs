//! Owners of the rows of generated tables. An owner column is a user id or, if it is `people`, a
//! list of them.

use crate::identities::Identity;
use crate::policies::{Row, Table};
use std::collections::BTreeSet;

/// The SQL literal that makes an owner column name one user.
pub fn literal(owner: &str, user: &str) -> String {
    match owner {
        "people" => format!("ARRAY['{user}']::uuid[]"),
        _ => format!("'{user}'"),
    }
}

/// The users that an owner column of a row names.
pub fn users_of<'a>(row: &'a Row, owner: &str) -> impl Iterator<Item = &'a str> {
    row.get(owner).split('\'').filter(|part| part.len() == 36)
}

/// Whether an owner column of a row names a user.
pub fn names(row: &Row, owner: &str, user: &str) -> bool {
    users_of(row, owner).any(|named| named == user)
}

/// Rows with an owner, none of whose owner columns names the identity, and whose list of people
/// does not either, if a policy compares it with the user id. Without owner columns, all rows.
pub fn foreign_rows<'a>(table: &'a Table, owners: &[String], identity: &Identity) -> Vec<&'a Row> {
    let has_participants = table.summary.contains("ANY (people)");
    let is_foreign = |row: &&Row| {
        let is_named = |owner: &str| identity.user.as_ref().is_some_and(|me| names(row, owner, me));
        owners.is_empty()
            || owners.iter().any(|owner| users_of(row, owner).next().is_some())
                && !owners.iter().any(|owner| is_named(owner))
                && !(has_participants && is_named("people"))
    };
    table.rows.iter().filter(is_foreign).collect()
}

/// The users other than the identity that the first owner column names.
pub fn victims(table: &Table, owners: &[String], identity: &Identity) -> Vec<String> {
    let first = owners.first().map_or("", String::as_str);
    let ids: BTreeSet<&str> = table.rows.iter().flat_map(|row| users_of(row, first)).collect();
    let is_other = |id: &&str| Some(*id) != identity.user.as_deref();
    ids.into_iter().filter(is_other).map(str::to_owned).collect()
}
