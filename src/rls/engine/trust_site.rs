//! Conditions of policies that read other tables.

use crate::pg::rewrite::function_body::inlined;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::relations::relations;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Undecidable};
use crate::rls::target::application::Application;
use crate::rls::target::table::Table;
use std::collections::BTreeSet;

/// The condition of one command on a table whose policies trust others.
pub struct Site {
    /// The first command with this condition.
    pub command: Command,
    /// All commands with it.
    pub commands: Vec<Command>,
    /// The qual that existing rows must satisfy.
    pub using: Qual,
    /// The same with the queries of functions in place of their calls.
    pub expanded: Qual,
    /// The tables that it reads.
    pub relations: BTreeSet<u32>,
    /// Functions whose queries are not known.
    pub opaque: BTreeSet<u32>,
}

/// The conditions on a table that read other tables, for the current user.
pub fn sites(
    application: &Application,
    table: &Table,
    role_index: usize,
) -> Result<Vec<Site>, Undecidable> {
    let mut sites: Vec<Site> = Vec::new();
    for command in [Command::Select, Command::Update, Command::Delete] {
        if !table.allows(role_index, command) {
            continue;
        }
        let using = row_security::effective(command, &table.named)?.using;
        if let Some(known) = sites.iter_mut().find(|site| site.using.is_same(using)) {
            known.commands.push(command);
            continue;
        }
        let expanded = inlined(using, &application.identity_functions);
        let relations = relations(expanded.qual);
        if !relations.is_empty() || !expanded.opaque.is_empty() {
            sites.push(Site {
                command,
                commands: vec![command],
                using,
                expanded: expanded.qual,
                relations,
                opaque: expanded.opaque,
            });
        }
    }
    Ok(sites)
}

/// A table that clients may insert into, with its index.
pub struct Insertable<'a> {
    /// Index of the table.
    pub place: usize,
    /// The table.
    pub table: &'a Table,
}

/// An invitation that an identity can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Index of its table.
    pub place: usize,
    /// The columns that decide.
    pub columns: Vec<i16>,
}
