//! Whose questions an application asks: the roles, the accounts, and how a request says who it is for.

use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::{Parameters, Qual, text_of, value_of};
use crate::pg::rewrite::row_security::RowQuery;
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::{session, timeout};
use crate::rls::error::RlsError;
use crate::settings;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde_json::{Map, Value};
use std::ffi::{CStr, CString};

/// A role that requests run as.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its oid.
    pub oid: pg_sys::Oid,
    /// Its name.
    pub name: String,
    /// Whether nobody has signed in.
    pub is_anonymous: bool,
}

/// The table of accounts.
#[derive(Debug, Clone)]
pub struct Users {
    /// Its oid.
    pub table: pg_sys::Oid,
    /// Quoted and qualified.
    pub name: String,
    /// The column of its key.
    pub key: String,
    /// That column's type, one of the server's own.
    pub key_type: pg_sys::Oid,
}

/// What of an account goes into claims.
const CLAIM_COLUMNS: [&CStr; 4] = [c"email", c"raw_app_meta_data", c"raw_user_meta_data", c"is_anonymous"];

/// How many milliseconds it may take to find out whose rows there are.
const PROBE_TIMEOUT_MS: i32 = 500;

/// What an audit knows of the application.
#[derive(Debug, Default)]
pub struct Application {
    /// The roles that exist.
    pub roles: Vec<Role>,
    /// The functions that tell who asks.
    pub identity_functions: Vec<pg_sys::Oid>,
    /// How SQL calls the one that returns a user's id.
    pub identity: Option<String>,
    /// The accounts, if there is such a table.
    pub users: Option<Users>,
    /// Settings, and which claim each carries.
    pub claims: Vec<(String, String)>,
    /// The schemas that clients reach, by name.
    pub schemas: Vec<pg_sys::Oid>,
    /// The type of most owners' columns, by which ids are known where neither accounts nor a function tell.
    pub owner_type: Option<pg_sys::Oid>,
    search_path: String,
}

/// What claims are made of, of one account.
pub type Account = Map<String, Value>;

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// In reports.
    pub label: String,
    /// The role that the request runs as.
    pub role: pg_sys::Oid,
    /// The user's id, as text.
    pub user: Option<String>,
    /// Whether it is one user with claims of their own, and not what everybody is who comes.
    pub is_account: bool,
    settings: Vec<(CString, CString)>,
}

impl Application {
    /// Reads them.
    pub fn read() -> Result<Self, RlsError> {
        let (anonymous, user) = (settings::anonymous_role(), settings::user_role());
        let names: Vec<String> = [&anonymous, &user].into_iter().filter(|name| !name.is_empty()).cloned().collect();
        as_owner(|| {
            let roles: Vec<Role> = names
                .into_iter()
                .filter_map(|name| {
                    let oid = lookup::role(&name)?;
                    Some(Role { oid, is_anonymous: name == anonymous && name != user, name })
                })
                .collect();
            let functions: Vec<Option<pg_sys::Oid>> =
                settings::identity_functions().iter().map(|name| lookup::function_called(name)).collect();
            let is_reached =
                |schema: &pg_sys::Oid| roles.iter().any(|role| privilege::may_use_schema(role.oid, *schema));
            let schemas = lookup::schemas_of_users().into_iter().filter(is_reached).collect();
            Ok(Self {
                identity: functions.first().copied().flatten().map(lookup::signature),
                identity_functions: functions.into_iter().flatten().collect(),
                users: Users::called(&settings::users_table()),
                claims: settings::claims(),
                schemas,
                owner_type: None,
                roles,
                search_path: search_path()?,
            })
        })
    }

    /// The role of requests that nobody has signed in for.
    pub fn anonymous(&self) -> Option<&Role> {
        self.roles.iter().find(|role| role.is_anonymous)
    }

    /// The role of signed-in users.
    pub fn user_role(&self) -> Option<&Role> {
        self.roles.iter().find(|role| !role.is_anonymous)
    }

    /// What the settings name and is not there: whose questions were not asked, and of whom it is not known what is theirs.
    pub fn unknown(&self) -> Vec<(&'static str, String)> {
        let mut unknown = Vec::new();
        if self.user_role().is_none() && self.anonymous().is_some() {
            let name = settings::user_role();
            unknown.push(("signed-in users", format!("crewsnow_ops.user_role is \"{name}\", which is no role")));
        }
        if self.users.is_none() && !settings::users_table().is_empty() {
            let why = "crewsnow_ops.users_table names no table with a key of one column of a built-in type: whose rows are is known from policies \
                       and names of columns alone";
            unknown.push(("accounts", why.to_owned()));
        }
        unknown
    }

    /// Learns from tables what ids are.
    pub fn learn(&mut self, tables: &[super::table::Table]) {
        let mut types: Vec<pg_sys::Oid> =
            tables.iter().flat_map(|table| table.owners.iter().map(|o| o.type_)).collect();
        types.sort_unstable_by_key(|type_| type_.to_u32());
        let most = types.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
        self.owner_type = most.and_then(|same| same.first().copied());
    }

    /// The settings of a request with these claims. A setting that was never made is left alone: an application that looks for NULL finds it.
    fn settings(&self, claims: Option<&Map<String, Value>>) -> Vec<(CString, CString)> {
        let mut settings = vec![
            (c"row_security".to_owned(), c"on".to_owned()),
            // Costs are compared with what looking may cost.
            (c"enable_seqscan".to_owned(), c"on".to_owned()),
            (c"search_path".to_owned(), c_string(&self.search_path)),
        ];
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

    /// The settings of a request with these claims that is played and not audited: it waits for locks as requests do.
    pub fn request(&self, claims: &Map<String, Value>) -> Vec<(CString, CString)> {
        let mut settings = self.settings(Some(claims));
        settings.push((c"lock_timeout".to_owned(), c"0".to_owned()));
        // What is undone is no news.
        settings.push((c"client_min_messages".to_owned(), c"error".to_owned()));
        settings
    }

    /// A request without any claims.
    pub fn without_claims(&self, role: &Role) -> Identity {
        Identity {
            label: format!("{} without claims", role.name),
            role: role.oid,
            user: None,
            is_account: false,
            settings: self.settings(None),
        }
    }

    /// A request with the anonymous key alone.
    pub fn anon_key(&self, role: &Role) -> Identity {
        let claims = Map::from_iter([("role".to_owned(), Value::from(role.name.clone()))]);
        Identity {
            label: format!("{} with the anonymous key", role.name),
            role: role.oid,
            user: None,
            is_account: false,
            settings: self.settings(Some(&claims)),
        }
    }

    /// The type of users' ids, where the accounts, the function that tells who asks, or tables say.
    pub fn id_type(&self) -> Option<pg_sys::Oid> {
        let function =
            || self.identity_functions.first().map(|function| crate::pg::catalog::lookup::return_type(*function));
        self.users.as_ref().map(|users| users.key_type).or_else(function).or(self.owner_type)
    }

    /// An id that no user has.
    pub fn unused_id(&self) -> String {
        unused_id_of_type(self.id_type().unwrap_or(pg_sys::UUIDOID), 0)
    }

    /// Somebody who has just signed up: an account that has nothing.
    pub fn new_account(&self, role: &Role) -> Identity {
        let id = self.unused_id();
        let claims = self.claims_of(role, &id, None);
        let settings = self.settings(Some(&claims));
        Identity {
            label: format!("{}, just signed up", role.name),
            role: role.oid,
            user: Some(id),
            is_account: false,
            settings,
        }
    }

    /// Somebody who has signed in without giving an address: an account that has nothing, and says so.
    pub fn anonymous_sign_in(&self, role: &Role) -> Identity {
        let account = Map::from_iter([("is_anonymous".to_owned(), Value::Bool(true))]);
        let id = self.unused_id();
        let settings = self.settings(Some(&self.claims_of(role, &id, Some(&account))));
        let label = format!("{}, signed in anonymously", role.name);
        Identity { label, role: role.oid, user: Some(id), is_account: false, settings }
    }

    /// A user, with the claims that follow from the account.
    pub fn user(&self, role: &Role, id: &str, account: Option<&Map<String, Value>>) -> Identity {
        let claims = self.claims_of(role, id, account);
        let settings = self.settings(Some(&claims));
        Identity {
            label: format!("{} as {}", role.name, masked(id)),
            role: role.oid,
            user: Some(id.to_owned()),
            is_account: true,
            settings,
        }
    }

    /// The user of the self-test tables.
    pub fn self_test_user(&self, role: &Role, id: &str) -> Identity {
        let settings = vec![
            (c"row_security".to_owned(), c"on".to_owned()),
            // Costs are compared with what looking may cost.
            (c"enable_seqscan".to_owned(), c"on".to_owned()),
            (c"crewsnow_ops.control_user".to_owned(), c_string(id)),
        ];
        Identity {
            label: "self-test".to_owned(),
            role: role.oid,
            user: Some(id.to_owned()),
            is_account: false,
            settings,
        }
    }

    fn claims_of(&self, role: &Role, id: &str, account: Option<&Map<String, Value>>) -> Map<String, Value> {
        let of =
            |column: &str| account.and_then(|account| account.get(column)).filter(|value| !value.is_null()).cloned();
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), id.into());
        claims.insert("role".to_owned(), role.name.clone().into());
        claims.insert("aud".to_owned(), role.name.clone().into());
        claims.insert("aal".to_owned(), "aal1".into());
        claims.insert("email".to_owned(), of("email").unwrap_or_else(|| "".into()));
        claims.insert("app_metadata".to_owned(), of("raw_app_meta_data").unwrap_or_else(|| Map::new().into()));
        claims.insert("user_metadata".to_owned(), of("raw_user_meta_data").unwrap_or_else(|| Map::new().into()));
        claims.insert("is_anonymous".to_owned(), of("is_anonymous").unwrap_or(Value::Bool(false)));
        claims
    }

    /// Rows of a table, without its row-level security, read as a client and as confined as one: planning a statement calls functions of the
    /// table's owner, who must not get more rights by that than by a request.
    ///
    /// The values are copied into the current memory context.
    pub fn rows(
        &self,
        table: &str,
        sql: &str,
        values: &[(pg_sys::Oid, pg_sys::Datum)],
        most: u64,
    ) -> Result<Vec<Vec<Option<pg_sys::Datum>>>, RlsError> {
        let unreadable = |why: String| RlsError::Unreadable { table: table.to_owned(), reason: why };
        let Some(role) = self.user_role().or(self.anonymous()) else { return Ok(Vec::new()) };
        let (answer, has_expired) = timeout::with_timeout(PROBE_TIMEOUT_MS, || {
            let work = || RowQuery { sql, parameters: Parameters::new(values) }.rows(Qual::ALWAYS, most, f64::MAX);
            crate::pg::xact::sec_context::as_client(role.oid, &[], std::panic::AssertUnwindSafe(work))
        });
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(unclear)) => Err(unreadable(unclear.to_string())),
            Err(_) if has_expired => Err(unreadable(format!("it took longer than {PROBE_TIMEOUT_MS} ms"))),
            Err(failure) if failure.is_interrupt() => failure.raise(),
            Err(failure) => Err(unreadable(failure.redacted_message())),
        }
    }

    /// The ids of some accounts, the first by key, without those that nobody has signed up for where the table knows.
    pub fn first_accounts(&self, most: u64) -> Result<Vec<String>, RlsError> {
        let Some(users) = &self.users else { return Ok(Vec::new()) };
        let key = quote_identifier(&users.key);
        let of_nobody = match users.column(c"is_anonymous") {
            Some(pg_sys::BOOLOID) => " WHERE u.is_anonymous IS NOT TRUE",
            _ => "",
        };
        let sql = format!("SELECT u.{key} FROM {} AS u{of_nobody} ORDER BY u.{key}", users.name);
        let rows = self.rows(&users.name, &sql, &[], most)?;
        Ok(rows
            .iter()
            .filter_map(|row| row.first().copied().flatten())
            .map(|key| text_of(users.key_type, key))
            .collect())
    }

    /// What claims are made of, of some accounts: by id. What cannot be an id is nobody's.
    pub fn accounts(&self, ids: &[String]) -> Result<Vec<(String, Account)>, RlsError> {
        let Some(users) = &self.users else {
            return Ok(ids.iter().map(|id| (id.clone(), Map::new())).collect());
        };
        let columns: Vec<(&CStr, pg_sys::Oid)> =
            CLAIM_COLUMNS.into_iter().filter_map(|name| Some((name, users.column(name)?))).collect();
        let names: String = columns.iter().map(|(name, _)| format!(", u.{}", name.to_string_lossy())).collect();
        let key = quote_identifier(&users.key);
        let sql = format!("SELECT u.{key}{names} FROM {} AS u WHERE u.{key} OPERATOR(pg_catalog.=) $1", users.name);
        let mut accounts = Vec::new();
        for id in ids {
            let id_of = || value_of(users.key_type, &c_string(id));
            let Ok(value) = isolated(id_of) else { continue };
            let rows = self.rows(&users.name, &sql, &[(users.key_type, value)], 1)?;
            let Some(row) = rows.first() else { continue };
            let values = row.iter().skip(1).zip(&columns);
            let account = values.map(|(value, (name, type_))| {
                (name.to_string_lossy().into_owned(), value.map_or(Value::Null, |value| json_of(*type_, value)))
            });
            accounts.push((id.clone(), account.collect()));
        }
        Ok(accounts)
    }
}

impl Users {
    /// The table of this name, if it can be one of accounts: its key is one column of a type of the server's own, so that nobody else's code
    /// is run to compare keys or to write them.
    fn called(name: &str) -> Option<Self> {
        let table = if name.is_empty() { None } else { lookup::table_called(name) }?;
        let (number, key_type) = lookup::key(table)?;
        let is_own = key_type.to_u32() < pg_sys::FirstNormalObjectId;
        is_own.then_some(Self {
            table,
            name: lookup::table_name(table)?,
            key: lookup::column_name(table, number)?,
            key_type,
        })
    }

    /// The type of a column, if there is one of this name.
    fn column(&self, name: &CStr) -> Option<pg_sys::Oid> {
        lookup::column(self.table, name).map(|(_, type_)| type_)
    }
}

/// A value as claims have it. Types write themselves by functions that only superusers make, whereas casts to JSON are anybody's.
fn json_of(type_: pg_sys::Oid, value: pg_sys::Datum) -> Value {
    let text = text_of(type_, value);
    match type_ {
        pg_sys::JSONOID | pg_sys::JSONBOID => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        pg_sys::BOOLOID => Value::Bool(text == "t"),
        _ => Value::String(text),
    }
}

impl Identity {
    /// Runs `work` as this identity's request would run. What it changes is undone.
    pub fn act<R>(&self, work: impl FnOnce() -> R) -> Result<R, Failure> {
        crate::pg::xact::sec_context::as_client(self.role, &self.settings, std::panic::AssertUnwindSafe(work))
    }

    /// The same, for so many milliseconds at most. A cancel that is somebody else's is passed on.
    pub fn act_within<R>(&self, milliseconds: i32, work: impl FnOnce() -> R) -> Result<R, Failure> {
        let (answer, has_expired) = timeout::with_timeout(milliseconds, || self.act(work));
        match answer {
            Err(failure) if failure.is_interrupt() && !has_expired => failure.raise(),
            answer => answer,
        }
    }
}

/// The search_path of requests: the database's, or the server's default. Not that of this session, whose user could have put tables of their own in
/// front of the application's; nor its temporary ones.
fn search_path() -> Result<String, RlsError> {
    Spi::connect(|client| {
        let rows = client.select(include_str!("../../../sql/rls/search_path.sql"), Some(1), &[])?;
        let path: Option<String> = if rows.is_empty() { None } else { rows.first().get(1)? };
        Ok(format!("{}, pg_temp", path.as_deref().unwrap_or("\"$user\", public")))
    })
}

/// An id of a type that no user has; numbered, where it is not random. The smallest of the type, as keys count upwards.
pub fn unused_id_of_type(type_: pg_sys::Oid, number: i16) -> String {
    match type_ {
        pg_sys::INT2OID => (i16::MIN + number).to_string(),
        pg_sys::INT4OID => (i32::MIN + i32::from(number)).to_string(),
        pg_sys::INT8OID | pg_sys::NUMERICOID => (i64::MIN + i64::from(number)).to_string(),
        _ => crate::pg::builtins::new_uuid().to_string(),
    }
}

/// A user's id as reports show it: the beginning of its md5, which only who has the id can find again.
#[must_use]
pub fn masked(id: &str) -> String {
    let hash = crate::pg::builtins::md5(id);
    format!("user {}", hash.get(..8).unwrap_or(&hash))
}
