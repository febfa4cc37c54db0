//! An owner column: the part of a row that names the account it belongs to.

use super::account_reference::{AccountReference, Lookup};
use super::application::unused_id_of_type;
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::boundary_values::{list, members};
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::Undecidable;
use crate::pg::rewrite::value::{array_of, text_of, value_of};
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::rc::Rc;

/// How an owner column names the account.
#[derive(Debug, Clone)]
pub enum OwnerKind {
    /// The column is the user id.
    Id,
    /// The column is an array of user ids.
    List,
    /// An expression on the column is the user id, such as `data ->> 'user_id'`: its pg_node_tree,
    /// and its SQL on the alias `t`.
    Expression(Rc<str>, Rc<str>),
    /// The column references a row that belongs to one account.
    Reference(Rc<AccountReference>),
}

/// A column that names the account a row belongs to.
#[derive(Debug, Clone)]
pub struct OwnerColumn {
    /// Column number.
    pub number: i16,
    /// Column name, not quoted.
    pub name: String,
    /// Base type of the value that is compared with an id: of the column, of an element of a list,
    /// or of an expression.
    pub type_: pg_sys::Oid,
    /// Source of the classification: foreign key, policy or name.
    pub basis: &'static str,
    /// How it names the account.
    pub kind: OwnerKind,
    /// Whether its name says who wrote the row last, approved it or created it, which need not be
    /// the owner.
    pub is_audit: bool,
    /// The type's operators for equal and not equal, qualified.
    operators: [String; 2],
}

impl OwnerColumn {
    /// A column that is a user id; `None` if the type has no equality operator.
    pub fn new(number: i16, name: String, type_: pg_sys::Oid, basis: &'static str) -> Option<Self> {
        Self::of_kind(number, name, type_, basis, OwnerKind::Id)
    }

    /// A column of any kind; `None` if the type has no equality operator, or one that may run code
    /// of the application's developers.
    pub fn of_kind(
        number: i16,
        name: String,
        type_: pg_sys::Oid,
        basis: &'static str,
        kind: OwnerKind,
    ) -> Option<Self> {
        let is_known =
            type_.to_u32() < pg_sys::FirstNormalObjectId || lookup::is_text_of_extension(type_);
        let operators = if is_known { lookup::equality(type_) } else { None }?;
        Some(Self { number, name, type_, basis, kind, is_audit: false, operators })
    }

    /// The type of user ids in this column.
    pub fn id_type(&self) -> pg_sys::Oid {
        match &self.kind {
            OwnerKind::Reference(reference) => reference.id_type,
            _ => self.type_,
        }
    }

    /// Whether the column alone is one user id, which can be compared with the identity function.
    pub fn is_plain_id(&self) -> bool {
        matches!(self.kind, OwnerKind::Id)
    }

    /// An id that no account has; `number` tells several of them apart.
    pub fn unused_id(&self, number: i16) -> String {
        unused_id_of_type(self.id_type(), number)
    }

    /// The part of a row with alias `t` that names the account.
    pub fn sql(&self) -> String {
        match &self.kind {
            OwnerKind::Expression(_, sql) => sql.to_string(),
            _ => format!("t.{}", quote_identifier(&self.name)),
        }
    }

    /// The condition that a row names the user of a bound parameter.
    pub fn names(&self, user: &str) -> String {
        let (sql, [equal, _]) = (self.sql(), &self.operators);
        match self.kind {
            OwnerKind::List => format!("{user} {equal} ANY ({sql})"),
            _ => format!("{sql} {equal} {user}"),
        }
    }

    /// The condition that a row names one of the users of a bound array.
    pub fn names_any(&self, users: &str) -> String {
        let (sql, [equal, _]) = (self.sql(), &self.operators);
        match self.kind {
            OwnerKind::List => format!("{sql} OPERATOR(pg_catalog.&&) {users}"),
            _ => format!("{sql} {equal} ANY ({users})"),
        }
    }

    /// The condition that a row does not name the user of a bound parameter. With `is_only`, a row
    /// that names no user does not meet it.
    pub fn names_others(&self, user: &str, is_only: bool) -> String {
        let (sql, [_, unequal]) = (self.sql(), &self.operators);
        match (&self.kind, is_only) {
            (OwnerKind::List, _) => format!("({}) IS NOT TRUE", self.names(user)),
            // The form `column <> me` is one that the planner can refute from a policy.
            (_, true) => format!("{sql} {unequal} {user}"),
            (_, false) => format!("({sql} {unequal} {user} OR {sql} IS NULL)"),
        }
    }

    /// The condition that a row names a user.
    pub fn names_any_user(&self) -> String {
        match self.kind {
            OwnerKind::List => {
                format!("pg_catalog.cardinality({}) OPERATOR(pg_catalog.>) 0", self.sql())
            }
            _ => format!("{} IS NOT NULL", self.sql()),
        }
    }

    /// The value that is compared with the part of the row. A reference to the row of an account is
    /// looked up: call it as a client.
    pub fn value(&self, user: &str) -> Result<pg_sys::Datum, Undecidable> {
        Ok(match &self.kind {
            OwnerKind::Reference(reference) => {
                value_of(self.type_, &c_string(&reference.key_of(user, self.type_)?))
            }
            _ if self.type_ == pg_sys::JSONBOID => {
                let json = serde_json::Value::from(user).to_string();
                value_of(self.type_, &c_string(&json))
            }
            _ => value_of(self.type_, &c_string(user)),
        })
    }

    /// Several values as an array, with the array's type. Call it as a client.
    pub fn values(&self, users: &[String]) -> Result<(pg_sys::Oid, pg_sys::Datum), Undecidable> {
        let mut texts = Vec::new();
        for user in users {
            texts.push(text_of(self.type_, self.value(user)?));
        }
        Ok((lookup::array_type(self.type_), array_of(self.type_, &texts)))
    }

    /// A qual on a new row that names this user. Call it as a client.
    pub fn substitute(&self, qual: Qual, user: &str) -> Result<Qual, Undecidable> {
        let value = self.value(user)?;
        let changed = match &self.kind {
            OwnerKind::Expression(tree, _) => {
                // A whole-row reference also reads the expression's column.
                qual.columns().map(|_| qual.substitute_expression(tree, self.type_, value))
            }
            OwnerKind::List => {
                let array = lookup::array_type(self.type_);
                let text = list(&text_of(self.type_, value));
                qual.substitute(self.number, array, value_of(array, &c_string(&text)))
            }
            OwnerKind::Id | OwnerKind::Reference(_) => {
                qual.substitute(self.number, self.type_, value)
            }
        };
        changed.ok_or(Undecidable::WholeRow)
    }

    /// Whether a qual reads the column in another way than the one that names the account, so that
    /// a new owner alone does not decide it.
    pub fn is_read_otherwise(&self, qual: Qual) -> bool {
        match &self.kind {
            OwnerKind::Expression(tree, _) => {
                let value = value_of(self.type_, &c_string(&self.sample_text()));
                let changed = qual.substitute_expression(tree, self.type_, value);
                changed.columns().is_none_or(|columns| columns.contains(&self.number))
            }
            _ => false,
        }
    }

    fn sample_text(&self) -> String {
        match self.type_ {
            pg_sys::JSONBOID => "null".to_owned(),
            _ => self.unused_id(1),
        }
    }

    /// The ids of the users that a value of `sql()` names.
    pub fn users_of(&self, value: pg_sys::Datum, lookup: Lookup<'_>) -> Vec<String> {
        match &self.kind {
            OwnerKind::Id => vec![text_of(self.type_, value)],
            OwnerKind::List => members(value, self.type_)
                .into_iter()
                .map(|member| text_of(self.type_, member))
                .collect(),
            OwnerKind::Expression(..) => {
                let text = text_of(self.type_, value);
                vec![match self.type_ {
                    pg_sys::JSONBOID => text.trim_matches('"').to_owned(),
                    _ => text,
                }]
            }
            OwnerKind::Reference(reference) => {
                reference.user_of(self.type_, value, lookup).into_iter().collect()
            }
        }
    }
}
