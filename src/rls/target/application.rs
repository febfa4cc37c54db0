//! Model of the audited application: client roles, accounts table and claims.

use super::identity::{Claims, Identity, as_client_within};
use super::roles::{Role, other_roles};
use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::RowQuery;
use crate::pg::rewrite::value::{Parameters, text_of, value_of};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::{sec_context, session};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::model::Audience;
use crate::settings;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde_json::{Map, Value};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};

/// Settings that the API server makes for each request, with the values of one that sends nothing
/// of its own.
const REQUEST_SETTINGS: [(&CStr, &CStr); 4] = [
    (c"request.headers", c"{}"),
    (c"request.cookies", c"{}"),
    (c"request.method", c"GET"),
    (c"request.path", c"/"),
];

/// The table that has a row for each account.
#[derive(Debug, Clone)]
pub struct UsersTable {
    /// Oid of the table.
    pub table: pg_sys::Oid,
    /// Name, quoted and qualified.
    pub name: String,
    /// Name of the primary key column, not quoted.
    pub key: String,
    /// Type of the primary key, a built-in one.
    pub key_type: pg_sys::Oid,
}

/// Columns of the accounts table that go into claims, as Supabase Auth puts them.
const CLAIM_COLUMNS: [&CStr; 5] =
    [c"email", c"phone", c"raw_app_meta_data", c"raw_user_meta_data", c"is_anonymous"];

/// The application, as the settings and the catalog describe it.
#[derive(Debug, Default)]
pub struct Application {
    /// The client roles that exist, then the other roles that policies name or clients can become.
    pub roles: Vec<Role>,
    /// Functions that return the request's user, its role or its claims.
    pub identity_functions: Vec<pg_sys::Oid>,
    /// SQL call of the function that returns the user's id; `None` if it does not exist.
    pub identity: Option<String>,
    /// The accounts table; `None` if it does not exist or cannot be used.
    pub users: Option<UsersTable>,
    /// Settings of a request and the claim that each carries; `*` is all of them.
    pub claims: Vec<(String, String)>,
    /// Schemas that a client role has USAGE on, sorted by name.
    pub schemas: Vec<pg_sys::Oid>,
    /// Schemas that any of `roles` has USAGE on, sorted by name.
    pub audited_schemas: Vec<pg_sys::Oid>,
    /// Most frequent type of owner columns: the fallback for the type of user ids.
    pub owner_type: Option<pg_sys::Oid>,
    /// Settings beside the claims that the API server makes and that policies read: name, value.
    pub request_settings: Vec<(&'static CStr, &'static CStr)>,
    /// Columns that hold user ids, as table and column; set once the owners of tables are known.
    pub user_columns: OnceCell<Vec<(pg_sys::Oid, i16)>>,
    search_path: String,
    /// Roles beyond [`MAX_OTHER_ROLES`] that nobody asked.
    unasked: Vec<String>,
}

/// Roles beside the client roles that tables are asked as. Each takes the time of a client role.
const MAX_OTHER_ROLES: usize = 12;

/// Columns of one account that go into claims.
pub type Account = Claims;

impl Application {
    /// Reads the settings and the catalog.
    pub fn read() -> Result<Self, RlsError> {
        let (anonymous, user) = (settings::anonymous_role(), settings::user_role());
        let names: Vec<String> =
            [&anonymous, &user].into_iter().filter(|name| !name.is_empty()).cloned().collect();
        as_owner(|| {
            let clients: Vec<Role> = names
                .into_iter()
                .filter_map(|name| {
                    let (oid, is_anonymous) = (lookup::role(&name)?, name == anonymous);
                    Some(Role {
                        oid,
                        is_anonymous: is_anonymous && name != user,
                        name,
                        is_client: true,
                    })
                })
                .collect();
            let functions: Vec<Option<pg_sys::Oid>> = settings::identity_functions()
                .iter()
                .map(|name| lookup::function_called(name))
                .collect();
            let mut others = other_roles(&clients)?;
            let unasked = others.split_off(others.len().min(MAX_OTHER_ROLES));
            let reached = |by: &[Role], schemas: &[pg_sys::Oid]| -> Vec<pg_sys::Oid> {
                let is_reached = |schema: &&pg_sys::Oid| {
                    by.iter().any(|role| privilege::may_use_schema(role.oid, **schema))
                };
                schemas.iter().filter(is_reached).copied().collect()
            };
            let all = lookup::schemas_of_users();
            let schemas = reached(&clients, &all);
            let roles = [clients, others].concat();
            Ok(Self {
                identity: functions.first().copied().flatten().map(lookup::signature),
                identity_functions: functions.into_iter().flatten().collect(),
                users: UsersTable::called(&settings::users_table()),
                claims: settings::claims(),
                schemas,
                audited_schemas: reached(&roles, &all),
                owner_type: None,
                request_settings: Vec::new(),
                user_columns: OnceCell::new(),
                unasked: unasked.into_iter().map(|role| role.name).collect(),
                roles,
                search_path: search_path()?,
            })
        })
    }

    /// The role of requests that are not signed in.
    pub fn anonymous(&self) -> Option<&Role> {
        self.roles.iter().find(|role| role.is_anonymous)
    }

    /// The role of signed-in users.
    pub fn user_role(&self) -> Option<&Role> {
        self.client_roles().find(|role| !role.is_anonymous)
    }

    /// The roles that the settings name.
    pub fn client_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().filter(|role| role.is_client)
    }

    /// A regular expression that matches the text of a function that reads claims.
    pub(super) fn sources_pattern(&self) -> String {
        let escaped = |name: &str| -> String {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            name.chars()
                .map(|c| if is_word(c) { c.to_string() } else { format!("\\{c}") })
                .collect()
        };
        let name = |function: &pg_sys::Oid| {
            let signature = lookup::signature(*function);
            let name = signature.split('(').next().unwrap_or_default();
            format!("\\m{}\\M", escaped(name.rsplit('.').next().unwrap_or_default()))
        };
        let functions = self.identity_functions.iter().map(name);
        let settings = self.claims.iter().map(|(setting, _)| escaped(setting));
        functions.chain(settings).chain([r"request\.jwt".to_owned()]).collect::<Vec<_>>().join("|")
    }

    /// Settings that name something that does not exist: the objects they concern and a reason.
    pub fn unresolved_settings(&self) -> Vec<(&'static str, String)> {
        let mut unresolved = Vec::new();
        if self.user_role().is_none() && self.anonymous().is_some() {
            let name = settings::user_role();
            unresolved.push((
                "signed-in users",
                format!("crewsnow_ops.user_role names \"{name}\", which is not a role"),
            ));
        }
        if self.users.is_none() && !settings::users_table().is_empty() {
            let why = "crewsnow_ops.users_table does not name a table with a single-column \
                       primary key of a built-in type: owner columns are found by policies and \
                       column names alone";
            unresolved.push(("accounts", why.to_owned()));
        }
        if let Some(first) = self.unasked.first() {
            let why = format!(
                "more than {MAX_OTHER_ROLES} roles beside the client roles have policies; no table \
                 was asked as {first} and {} more",
                self.unasked.len() - 1
            );
            unresolved.push(("other roles", why));
        }
        unresolved
    }

    /// Remembers the most frequent type of owner columns.
    pub fn learn_owner_type(&mut self, mut types: Vec<pg_sys::Oid>) {
        types.sort_unstable_by_key(|type_| type_.to_u32());
        let most = types.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
        self.owner_type = most.and_then(|same| same.first().copied());
    }

    /// Remembers which settings of the API server the policies read: a request without headers of
    /// its own has them, too.
    pub fn learn_request_settings<'a>(&mut self, read: impl Iterator<Item = &'a String>) {
        let read: BTreeSet<String> = read.map(|setting| setting.to_ascii_lowercase()).collect();
        let is_read =
            |(name, _): &(&CStr, &CStr)| name.to_str().is_ok_and(|name| read.contains(name));
        self.request_settings = REQUEST_SETTINGS.into_iter().filter(is_read).collect();
    }

    /// The settings of a request with these claims; `None` for a request without claims.
    ///
    /// A claim's setting that the session never set stays unset, as an application may look for
    /// NULL.
    pub(super) fn settings(&self, claims: Option<&Map<String, Value>>) -> Vec<(CString, CString)> {
        let mut settings = vec![
            (c"row_security".to_owned(), c"on".to_owned()),
            // With it off, the planner can add a penalty that exceeds the cost limit.
            (c"enable_seqscan".to_owned(), c"on".to_owned()),
            (c"search_path".to_owned(), c_string(&self.search_path)),
        ];
        for (name, value) in &self.request_settings {
            if claims.is_some() || session::has_setting(name) {
                settings.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        for (setting, claim) in &self.claims {
            let value = match (claims, claim.as_str()) {
                (None, _) => None,
                (Some(claims), "*") => Some(Value::Object(claims.clone()).to_string()),
                (Some(claims), claim) => claims.get(claim).map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }),
            };
            if value.is_some() || session::has_setting(&c_string(setting)) {
                settings.push((c_string(setting), c_string(&value.unwrap_or_default())));
            }
        }
        settings
    }

    /// The settings of a request that an end-to-end test plays. Unlike a probe it waits for locks.
    pub fn request(&self, claims: &Map<String, Value>) -> Vec<(CString, CString)> {
        let mut settings = self.settings(Some(claims));
        settings.push((c"lock_timeout".to_owned(), c"0".to_owned()));
        // Its changes are rolled back, so its notices would mislead the caller.
        settings.push((c"client_min_messages".to_owned(), c"error".to_owned()));
        settings
    }

    /// The caller of the audit, with the claims that the session has.
    pub fn caller(&self) -> Identity {
        Identity {
            label: sec_context::current_user(),
            role: sec_context::current_role(),
            user: None,
            is_account: false,
            audience: Audience::EveryUser,
            is_privileged: false,
            is_scope: false,
            is_tried: false,
            settings: vec![
                (c"row_security".to_owned(), c"on".to_owned()),
                (c"search_path".to_owned(), c_string(&self.search_path)),
            ],
        }
    }

    /// Type of user ids, taken from the accounts' key, else from the identity function, else from
    /// most owner columns.
    pub fn id_type(&self) -> Option<pg_sys::Oid> {
        let function =
            || self.identity_functions.first().map(|function| lookup::return_type(*function));
        self.users.as_ref().map(|users| users.key_type).or_else(function).or(self.owner_type)
    }

    /// An id that no account has.
    pub fn unused_id(&self) -> String {
        unused_id_of_type(self.id_type().unwrap_or(pg_sys::UUIDOID), 0)
    }

    /// Up to `most` rows of a query on a table, without its row-level security.
    ///
    /// The query runs with the rights of a client role: planning it can call functions of the
    /// table's owner, and these must not gain rights. Values are copied into the current memory
    /// context.
    pub fn rows(
        &self,
        table: &str,
        sql: &str,
        values: &[(pg_sys::Oid, pg_sys::Datum)],
        most: u64,
    ) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, RlsError> {
        let Some(role) = self.user_role().or(self.anonymous()) else { return Ok(Vec::new()) };
        let query = || {
            RowQuery { sql, parameters: Parameters::new(values) }.rows(Qual::ALWAYS, most, f64::MAX)
        };
        let reason = match as_client_within(PROBE_TIMEOUT_MS, role.oid, &[], query) {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(undecidable)) => undecidable.to_string(),
            Err(stopped) => stopped.to_string(),
        };
        Err(RlsError::Unreadable { table: table.to_owned(), reason })
    }

    /// The value in the first row of a query with one parameter, as [`Self::rows`] runs it; `None`
    /// if there is none or the query fails.
    pub fn value(
        &self,
        table: &str,
        sql: &str,
        parameter: (pg_sys::Oid, pg_sys::Datum),
    ) -> Option<pg_sys::Datum> {
        let rows = self.rows(table, sql, &[parameter], 1).ok()?;
        rows.first().and_then(|row| row.first()).copied().flatten()
    }

    /// The first `most` account ids by key, without anonymous sign-ins where the table marks them.
    pub fn first_accounts(&self, most: u64) -> Result<Vec<String>, RlsError> {
        let Some(users) = &self.users else { return Ok(Vec::new()) };
        let key = quote_identifier(&users.key);
        let filter = match users.column(c"is_anonymous") {
            Some(pg_sys::BOOLOID) => " WHERE u.is_anonymous IS NOT TRUE",
            _ => "",
        };
        let sql = format!("SELECT u.{key} FROM {} AS u{filter} ORDER BY u.{key}", users.name);
        let rows = self.rows(&users.name, &sql, &[], most)?;
        Ok(rows
            .iter()
            .filter_map(|row| row.first().copied().flatten())
            .map(|key| text_of(users.key_type, key))
            .collect())
    }

    /// The accounts with these ids. A text that is not a valid id has no account.
    pub fn accounts(&self, ids: &[String]) -> Result<Vec<(String, Account)>, RlsError> {
        let Some(users) = &self.users else {
            return Ok(ids.iter().map(|id| (id.clone(), Map::new())).collect());
        };
        let columns: Vec<(&CStr, pg_sys::Oid)> = CLAIM_COLUMNS
            .into_iter()
            .filter_map(|name| Some((name, users.column(name)?)))
            .collect();
        let names: String =
            columns.iter().map(|(name, _)| format!(", u.{}", name.to_string_lossy())).collect();
        let key = quote_identifier(&users.key);
        let sql = format!(
            "SELECT u.{key}{names} FROM {} AS u WHERE u.{key} OPERATOR(pg_catalog.=) $1",
            users.name
        );
        let mut accounts = Vec::new();
        for id in ids {
            let Ok(value) = isolated(|| value_of(users.key_type, &c_string(id))) else { continue };
            let rows = self.rows(&users.name, &sql, &[(users.key_type, value)], 1)?;
            let Some(row) = rows.first() else { continue };
            let values = row.iter().skip(1).zip(&columns);
            let account = values.map(|(value, (name, type_))| {
                (
                    name.to_string_lossy().into_owned(),
                    value.map_or(Value::Null, |value| json_of(*type_, value)),
                )
            });
            accounts.push((id.clone(), account.collect()));
        }
        Ok(accounts)
    }
}

impl UsersTable {
    /// The accounts table of this name; `None` unless its primary key is one column of a built-in
    /// type. Comparing or printing other types could run code of the application's developers.
    fn called(name: &str) -> Option<Self> {
        let table = if name.is_empty() { None } else { lookup::table_called(name) }?;
        let (number, key_type) = lookup::key(table)?;
        let is_builtin = key_type.to_u32() < pg_sys::FirstNormalObjectId;
        is_builtin.then_some(Self {
            table,
            name: lookup::table_name(table)?,
            key: lookup::column_name(table, number)?,
            key_type,
        })
    }

    fn column(&self, name: &CStr) -> Option<pg_sys::Oid> {
        lookup::column(self.table, name).map(|(_, type_)| type_)
    }
}

/// A value as JSON. Uses the type's output function: only superusers create types, but any role can
/// create a cast to JSON.
fn json_of(type_: pg_sys::Oid, value: pg_sys::Datum) -> Value {
    let text = text_of(type_, value);
    match type_ {
        pg_sys::JSONOID | pg_sys::JSONBOID => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        pg_sys::BOOLOID => Value::Bool(text == "t"),
        _ => Value::String(text),
    }
}

/// The search_path of requests: the database's setting, or the server's default. The session's own
/// setting and temporary tables are left out, as they could hide the application's tables.
fn search_path() -> Result<String, RlsError> {
    Spi::connect(|client| {
        let rows = client.select(include_str!("../../../sql/rls/search_path.sql"), Some(1), &[])?;
        let path: Option<String> = if rows.is_empty() { None } else { rows.first().get(1)? };
        Ok(format!("{}, pg_temp", path.as_deref().unwrap_or("\"$user\", public")))
    })
}

/// An id of this type that no account has. Integers start at the type's minimum, as keys count
/// upwards; `number` tells several of them apart.
pub fn unused_id_of_type(type_: pg_sys::Oid, number: i16) -> String {
    match type_ {
        pg_sys::INT2OID => (i16::MIN + number).to_string(),
        pg_sys::INT4OID => (i32::MIN + i32::from(number)).to_string(),
        pg_sys::INT8OID | pg_sys::NUMERICOID => (i64::MIN + i64::from(number)).to_string(),
        _ => crate::pg::builtins::new_uuid().to_string(),
    }
}
