//! Differences between a restored database and its source. Pure.

use super::item::Item;

/// A difference, or a part that was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of the object, in words of SQL.
    pub kind: String,
    /// Its name, qualified and quoted.
    pub object: String,
    /// The difference, or the reason why it was not compared. No values of rows.
    pub text: String,
    /// Whether it concerns rows or the value of a sequence, not a definition.
    pub is_content: bool,
}

/// Aspects that a fault names at most.
const MAX_ASPECTS: usize = 5;

impl Fault {
    /// A fault of an item.
    #[must_use]
    pub fn of(item: &Item, text: String) -> Self {
        Self {
            kind: item.kind.clone(),
            object: item.name.clone(),
            text,
            is_content: item.is_content(),
        }
    }

    /// The order of a report.
    #[must_use]
    pub fn order(&self) -> (&str, &str, &str) {
        (&self.kind, &self.object, &self.text)
    }
}

/// The text of a content that differs.
#[must_use]
pub fn content_text(expected: &Item, restored: &Item) -> String {
    let (expected, restored) = (expected.rows.unwrap_or(0), restored.rows.unwrap_or(0));
    match restored - expected {
        0 => format!("the same number of rows ({expected}), with other values"),
        more @ 1.. => format!("{more} too many: {restored} rows instead of {expected}"),
        fewer => format!("{} lost: {restored} rows instead of {expected}", -fewer),
    }
}

/// The text of a content that has fewer rows than the source had and has; `None` if it has enough,
/// or could not be read.
#[must_use]
pub fn fewer_text(manifest: &Item, now: &Item, restored: &Item) -> Option<String> {
    let (then, now, restored) = (manifest.rows?, now.rows?, restored.rows?);
    (restored < then.min(now)).then(|| {
        let rows = if restored == 1 { "row" } else { "rows" };
        format!("{restored} {rows}, fewer than the {then} of the manifest and the {now} of now")
    })
}

/// The text of a definition of which these aspects differ.
#[must_use]
pub fn aspects_text(aspects: &[String]) -> String {
    let shown: Vec<&str> = aspects.iter().take(MAX_ASPECTS).map(String::as_str).collect();
    match aspects.len().saturating_sub(MAX_ASPECTS) {
        0 => format!("differs in {}", shown.join(", ")),
        more => format!("differs in {} and {more} more", shown.join(", ")),
    }
}

/// The text of an object that one side lacks, with the number of objects that belong to it.
#[must_use]
pub fn absence_text(item: &Item, is_missing: bool, followers: usize) -> String {
    let text = match (item.is_content(), is_missing) {
        (true, true) => "not read in the restored database",
        (true, false) => "not read in the source",
        (false, true) => "missing",
        (false, false) => "not in the source",
    };
    match followers {
        0 => text.to_owned(),
        1 => format!("{text}, with 1 object that belongs to it"),
        _ => format!("{text}, with {followers} objects that belong to it"),
    }
}
