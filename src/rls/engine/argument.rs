//! Arguments of functions that the audit calls, and values for them.

use crate::pg::builtins::new_uuid;
use pgrx::pg_sys;

/// The kind of account ids that are UUIDs; see sql/rls/calls/functions.sql.
const UUID: &str = "2950";

/// An argument of a function.
#[derive(Debug)]
pub struct Argument {
    /// Name; may be empty.
    pub name: String,
    /// Type, as a cast names it.
    pub type_: String,
    /// Kind of its values, or of the elements of an array; see sql/rls/calls/functions.sql.
    pub kind: String,
    /// Whether it is an array.
    pub is_array: bool,
}

/// A row whose values become arguments.
#[derive(Debug, Clone)]
pub struct SampleRow {
    /// Index of its table in `Callable::tables`.
    pub table: usize,
    /// Oid of the table or partition that stores the row.
    pub place: pg_sys::Oid,
    /// Address of the row.
    pub ctid: String,
    /// The owner, who has an account.
    pub owner: Option<String>,
    /// Values: column name, kind and text.
    pub values: Vec<(String, String, String)>,
}

/// The text of an array with one element.
fn array_of(element: &str) -> String {
    let escaped = element.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{{\"{escaped}\"}}")
}

/// A value of an argument.
pub struct Value {
    /// The value as text.
    pub text: String,
    /// A value in its place that no row has; `None` if the value stands for no row.
    pub unused: Option<String>,
}

impl Argument {
    /// Values to try, the most likely first: a column of the same name, the user's id, other
    /// columns of this kind. Tokens are left out, because a caller who knows one may use it.
    pub fn values(&self, user: Option<&str>, row: Option<&SampleRow>) -> Vec<Value> {
        let plain = |name: &str| {
            let name = name.to_ascii_lowercase();
            let prefixes = ["p_", "in_", "arg_", "v_", "target_", "_"];
            let shorter = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
            shorter.unwrap_or(&name).to_owned()
        };
        let is_secret = |name: &str| {
            ["token", "secret", "code", "hash", "password", "key", "otp"]
                .iter()
                .any(|word| name.to_ascii_lowercase().contains(word))
        };
        if is_secret(&self.name) || self.kind.is_empty() {
            return Vec::new();
        }
        let name = plain(&self.name);
        let of_kind: Vec<&(String, String, String)> = row
            .map(|row| &row.values)
            .into_iter()
            .flatten()
            .filter(|(column, kind, _)| *kind == self.kind && !is_secret(column))
            .collect();
        let mut texts: Vec<&str> = Vec::new();
        let same_name = of_kind.iter().filter(|(column, ..)| plain(column) == name);
        texts.extend(same_name.map(|(_, _, value)| value.as_str()));
        let is_id = [UUID, "text", "int"].contains(&self.kind.as_str());
        texts.extend(user.filter(|user| is_id && self.may_be(user)));
        texts.extend(of_kind.iter().map(|(_, _, value)| value.as_str()));
        let mut values: Vec<Value> = Vec::new();
        for text in texts {
            if !values.iter().any(|known| known.text == text) {
                values.push(Value { text: text.to_owned(), unused: self.unused() });
            }
        }
        if let (true, Some(text)) = (values.is_empty(), self.usual()) {
            values.push(Value { text: text.to_owned(), unused: None });
        }
        if self.is_array {
            for value in &mut values {
                value.text = array_of(&value.text);
                value.unused = value.unused.as_deref().map(array_of);
            }
        }
        values
    }

    /// Whether the argument can hold a user's id.
    fn may_be(&self, user: &str) -> bool {
        match self.kind.as_str() {
            UUID => user.len() == 36,
            "int" => user.parse::<i64>().is_ok(),
            _ => true,
        }
    }

    /// A value that no row has.
    fn unused(&self) -> Option<String> {
        match self.kind.as_str() {
            UUID | "text" => Some(new_uuid().to_string()),
            "int" => Some(i16::MIN.to_string()),
            _ => None,
        }
    }

    /// A value that restricts little, for an argument that stands for no row: a limit, an interval
    /// of time, a search.
    fn usual(&self) -> Option<&'static str> {
        let starts = ["since", "from", "start", "after", "begin", "offset"];
        let is_start = starts.iter().any(|word| self.name.to_ascii_lowercase().contains(word));
        match self.kind.as_str() {
            "int" if is_start => Some("0"),
            "int" => Some("100"),
            "text" => Some(""),
            // The oids of boolean, date, timestamp and timestamptz.
            "16" => Some("true"),
            "1082" | "1114" | "1184" if is_start => Some("-infinity"),
            "1082" | "1114" | "1184" => Some("infinity"),
            _ => None,
        }
    }
}
