//! The proof of an erasure: every column that could hold a text is searched for the hashes of the
//! ledger.

use super::catalog::OWNER_NAMES;
use super::error::ErasureError;
use super::person::{Accounts, is_distinct};
use super::query::{View, numbers, on_table};
use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::sec_context;
use crate::pg::xact::subtransaction::isolated;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use pgrx::{IntoDatum, JsonB};

const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.prove_erasure('REQUEST');";

/// The view of planner statistics, which hold values of columns.
const STATISTICS: &str = "pg_catalog.pg_stats";

/// Parts of a text that are hashed of their own: uuids and e-mail addresses.
const TOKENS: &str = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\
    |[0-9a-z._%+-]+@[0-9a-z-]+(?:\\.[0-9a-z-]+)+)";
/// Only texts that match this can have such parts.
const HAS_TOKENS: &str = "@|[0-9A-Fa-f]{8}-";

/// Searches for an erased person. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023 (another person), 42704, 42P01, 55000 (an open request).
#[pg_extern(sql = false)]
fn prove_erasure(
    p_request: Option<pgrx::Uuid>,
    p_user_id: Option<&str>,
) -> Result<MaterializedRows<6>, ErrorReport> {
    let id =
        p_request.ok_or(ServerError::NullArgument { argument: "p_request", example: EXAMPLE })?;
    let rows = prove(id, p_user_id)?.into_iter().map(|row| {
        [
            row.verdict.into_datum(),
            row.object.into_datum(),
            row.column.into_datum(),
            row.rows.into_datum(),
            row.detail.into_datum(),
            row.command.into_datum(),
        ]
    });
    Ok(MaterializedRows(rows.collect()))
}

/// A row of the proof.
struct Finding {
    verdict: &'static str,
    object: Option<String>,
    column: Option<String>,
    rows: Option<i64>,
    detail: Option<String>,
    command: Option<String>,
}

/// A column that is searched.
struct Column {
    /// Quoted.
    name: String,
    kind: String,
    /// Whether it names a user.
    is_owner: bool,
}

/// A table or materialized view.
struct Searched {
    name: String,
    owner: pg_sys::Oid,
    /// Whether it belongs to the extension.
    is_own: bool,
    is_matview: bool,
    /// The reason why it cannot be searched.
    obstacle: Option<String>,
    columns: Vec<Column>,
}

/// The needles of a search.
struct Needles {
    salt: Vec<u8>,
    hashes: Vec<String>,
    /// The hashes to be found outside of owner columns: without that of a number.
    distinct: Vec<String>,
    /// The id in lower case, to be found in any text.
    part: Option<String>,
}

fn prove(id: pgrx::Uuid, user: Option<&str>) -> Result<Vec<Finding>, ErasureError> {
    let accounts = Accounts::read()?;
    let user = user.map(|user| accounts.canonical_id(user)).transpose()?;
    let needles = needles(id, user, accounts.has_numbers())?;
    let role = quote_identifier(sec_context::current_user());
    let (mut traces, mut skipped) = (Vec::new(), Vec::new());
    let (mut tables, mut columns) = (0, 0);
    for searched in searched(accounts.table)? {
        pgrx::check_for_interrupts!();
        let obstacle = match &searched.obstacle {
            Some(obstacle) => Some(obstacle.clone()),
            None => match isolated(|| search(&searched, &needles)) {
                Ok(counts) => {
                    tables += 1;
                    columns += searched.columns.len();
                    let found = searched.columns.iter().zip(counts?);
                    traces.extend(
                        found
                            .filter(|(_, rows)| *rows > 0)
                            .map(|(column, rows)| trace(&searched, column, rows)),
                    );
                    None
                }
                Err(failure) => Some(failure.redacted_message()),
            },
        };
        skipped.extend(obstacle.map(|reason| {
            Finding {
                verdict: "SKIPPED",
                object: Some(searched.name.clone()),
                column: None,
                rows: None,
                command: Some(format!("GRANT SELECT ON {} TO {role};", searched.name))
                    .filter(|_| reason.starts_with("you lack")),
                detail: Some(reason),
            }
        }));
    }
    let verdict = match (traces.len(), skipped.len()) {
        (0, 0) => "PROVED",
        (0, _) => "SKIPPED",
        _ => "TRACES",
    };
    let scope = match accounts.has_numbers() {
        true => "; ids are numbers, and were searched in columns that name a user",
        false => "",
    };
    let detail = format!(
        "{columns} columns of {tables} tables searched, {} with traces, {} tables skipped{scope}",
        traces.len(),
        skipped.len()
    );
    let mut findings = traces;
    findings.extend(skipped);
    findings.push(Finding {
        verdict,
        object: None,
        column: None,
        rows: None,
        detail: Some(detail),
        command: None,
    });
    Ok(findings)
}

fn trace(searched: &Searched, column: &Column, rows: i64) -> Finding {
    let (detail, command) = match searched {
        Searched { is_matview: true, name, .. } => (
            "a materialized view still has the old rows",
            Some(format!("REFRESH MATERIALIZED VIEW {name};")),
        ),
        Searched { name, .. } if name == STATISTICS => {
            ("planner statistics still have a sampled value", Some("ANALYZE;".to_owned()))
        }
        _ => ("the person is still there", None),
    };
    Finding {
        verdict: "TRACES",
        object: Some(searched.name.clone()),
        column: Some(column.name.clone()),
        rows: Some(rows),
        detail: Some(detail.to_owned()),
        command,
    }
}

/// Salt and hashes of an executed request. 22023 if `user` is not its person.
fn needles(
    id: pgrx::Uuid,
    user: Option<String>,
    ids_are_numbers: bool,
) -> Result<Needles, ErasureError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/erasure_needles.sql");
            let rows = client.select(sql, Some(1), &[id.into(), user.clone().into()])?;
            if rows.is_empty() {
                return Err(ErasureError::UnknownRequest(id.to_string()));
            }
            let row = rows.first();
            let hashes: Option<Vec<String>> = row.get(2)?;
            let hashes = hashes.ok_or_else(|| ErasureError::NotExecuted(id.to_string()))?;
            if row.get::<bool>(3)? == Some(false) {
                return Err(ErasureError::OtherPerson);
            }
            let part = user.filter(|user| is_distinct(user)).map(|user| user.to_lowercase());
            // The hash of the id comes first.
            let distinct = hashes.iter().skip(usize::from(ids_are_numbers)).cloned().collect();
            Ok(Needles { salt: row.get(1)?.unwrap_or_default(), hashes, distinct, part })
        })
    })
}

/// The tables and columns to search.
fn searched(accounts: pg_sys::Oid) -> Result<Vec<Searched>, ErasureError> {
    let mut searched: Vec<Searched> = Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/erasure_columns.sql");
        client
            .select(sql, None, &[accounts.into(), OWNER_NAMES.into()])?
            .map(|row| {
                let columns = match row.get::<JsonB>(6)? {
                    Some(JsonB(columns)) => serde_json::from_value::<Vec<[String; 3]>>(columns),
                    None => Ok(Vec::new()),
                };
                let columns = columns.unwrap_or_default().into_iter();
                Ok(Searched {
                    name: row.get(1)?.unwrap_or_default(),
                    owner: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                    is_own: row.get(3)?.unwrap_or(false),
                    is_matview: row.get(4)?.unwrap_or(false),
                    obstacle: row.get(5)?,
                    columns: columns.map(Column::read).collect(),
                })
            })
            .collect::<Result<Vec<_>, ErasureError>>()
    })?;
    let columns = ["most_common_vals", "histogram_bounds", "most_common_elems"];
    searched.push(Searched {
        name: STATISTICS.to_owned(),
        owner: pg_sys::InvalidOid,
        is_own: true,
        is_matview: false,
        obstacle: None,
        columns: columns
            .map(|name| Column::read([name.into(), "text".into(), String::new()]))
            .into(),
    });
    Ok(searched)
}

/// The number of rows with a trace, by column.
fn search(searched: &Searched, needles: &Needles) -> Result<Vec<i64>, ErasureError> {
    let counts: Vec<String> = searched
        .columns
        .iter()
        .map(|column| {
            format!("count(*) FILTER (WHERE {})", column.condition(needles.part.is_some()))
        })
        .collect();
    let sql = format!("SELECT {} FROM {} AS c", counts.join(", "), searched.name);
    let arguments = [
        needles.salt.clone().into(),
        needles.hashes.clone().into(),
        needles.part.clone().into(),
        needles.distinct.clone().into(),
    ];
    let run = || numbers(View::Statement, &sql, counts.len(), &arguments);
    match searched.is_own {
        true => as_owner(run),
        false => on_table(searched.owner, run),
    }
}

impl Column {
    fn read([name, kind, owner]: [String; 3]) -> Self {
        Self { name, kind, is_owner: owner == "owner" }
    }

    /// The condition that a value of the column has a trace. $1 salt, $2 hashes, $3 id if it is
    /// known, $4 hashes without that of a number. Most values are no text with tokens, so these are
    /// looked for last.
    fn condition(&self, has_id: bool) -> String {
        let column = &self.name;
        let text = match self.kind.as_str() {
            "bytea" => format!("encode(c.{column}, 'escape')"),
            _ => format!("concat(c.{column})"),
        };
        let hashes = if self.is_owner { "$2" } else { "$4" };
        let hash_is_known = |text: &str| hash_is_one_of(text, hashes);
        let whole = hash_is_known(&text);
        if self.kind == "uuid" {
            return whole;
        }
        let tokens = format!(
            "CASE WHEN {text} ~ '{HAS_TOKENS}' THEN EXISTS (SELECT FROM \
             regexp_matches({text}, '{TOKENS}', 'gi') AS m (part) WHERE {}) ELSE false END",
            hash_is_known("m.part[1]")
        );
        let mut conditions = vec![whole, tokens];
        match self.kind.as_str() {
            "jsonb" => conditions.push(format!(
                "EXISTS (SELECT FROM jsonb_path_query(c.{column}, '$.**') AS j (value) \
                 CROSS JOIN LATERAL (SELECT j.value #>> '{{}}' \
                 WHERE jsonb_typeof(j.value) IN ('string', 'number')) AS s (text) \
                 WHERE {} OR EXISTS (SELECT FROM regexp_matches(s.text, '{TOKENS}', 'gi') \
                 AS m (part) WHERE {}))",
                hash_is_known("s.text"),
                hash_is_known("m.part[1]")
            )),
            "array" => conditions.push(format!(
                "EXISTS (SELECT FROM unnest(c.{column}) AS e (value) WHERE {})",
                hash_is_known("concat(e.value)")
            )),
            _ => {}
        }
        if has_id {
            conditions.push(format!("strpos(lower({text}), $3) > 0"));
        }
        conditions.join(" OR ")
    }
}

/// The condition that the hash of a text is one of those looked for.
fn hash_is_one_of(text: &str, hashes: &str) -> String {
    format!(
        "sha256($1 || convert_to(lower({text}), 'UTF8')) \
         = ANY (ARRAY(SELECT decode(h.hash, 'hex') FROM unnest({hashes}::text[]) AS h (hash)))"
    )
}
