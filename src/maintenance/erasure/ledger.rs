//! The ledger of executed erasures: kept outside by export, and replayed after a restore.

use super::error::ErasureError;
use super::execute::execute;
use super::person::{Accounts, uuid_of};
use super::query::{View, on_table, texts};
use super::request::{open_request, store};
use crate::access::as_owner;
use crate::maintenance::report::plain;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::{session, snapshot};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB};
use serde_json::Value;

const ACTION: &str = "replay erasures";
/// The statement that erases again.
const REPLAY: &str = "SELECT crewsnow_ops.replay_erasures();";

/// The ledger as lines to keep outside. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", stable, requires = ["erasure"])]
#[search_path(pg_catalog, pg_temp)]
fn export_erasures() -> Result<SetOfIterator<'static, JsonB>, ErrorReport> {
    let sql = include_str!("../../../sql/maintenance/erasure_export.sql");
    let lines = as_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(sql, None, &[])?;
            rows.map(|row| Ok(row.get::<JsonB>(1)?)).collect::<Result<Vec<_>, ErasureError>>()
        })
    })?;
    Ok(SetOfIterator::new(lines.into_iter().flatten()))
}

/// Erases again. See the COMMENT on the SQL function.
///
/// SQLSTATE 22023 (form of the ledger), 25001, 25006, and those of execute_erasure.
#[pg_extern(sql = false)]
fn replay_erasures(p_ledger: Option<Jsonb>) -> Result<String, ErrorReport> {
    let ledger = p_ledger.map(|ledger| ledger.value("p_ledger")).transpose()?;
    Ok(replay(ledger)?)
}

fn replay(ledger: Option<Value>) -> Result<String, ErasureError> {
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    if let Some(ledger) = ledger {
        import(ledger)?;
    }
    let mut lines = vec![format!("Replay of erasures in database {}", plain(&session::database()))];
    let erasures = erasures()?;
    let mut again = 0;
    if !erasures.is_empty() {
        let accounts = Accounts::read()?;
        for Returned { id, erasure } in returned(&accounts, &erasures)? {
            let request = match open_request(&id)? {
                Some(open) => uuid_of(&open),
                None => {
                    Some(store(&id, &format!("replay of erasure {erasure}"), uuid_of(&erasure))?)
                }
            };
            let Some(request) = request else { continue };
            let rows: i64 = execute(request)?.iter().map(|erased| erased.rows).sum();
            lines.push(format!("erased again {rows:>8} rows, erasure {erasure}"));
            again += 1;
        }
    }
    let (system, database) = snapshot::identity();
    as_owner(|| {
        spi::connect_mut(|client| {
            let sql = include_str!("../../../sql/maintenance/erasure_note_replay.sql");
            let known: usize = erasures.iter().map(|of_salt| of_salt.hashes.len()).sum();
            let arguments =
                [system.into(), database.into(), (known as i64).into(), i64::from(again).into()];
            client.update(sql, None, &arguments)?;
            Ok::<_, ErasureError>(())
        })
    })?;
    let accounts = if again == 1 { "account" } else { "accounts" };
    lines.push(format!("Replay completed: {again} {accounts} erased again"));
    Ok(lines.join("\n"))
}

/// Adds the lines of another ledger. An open request of the same id becomes executed.
fn import(lines: Value) -> Result<(), ErasureError> {
    if !lines.is_array() {
        return Err(ErasureError::InvalidLedger("it is no array".into()));
    }
    let add = || {
        as_owner(|| {
            spi::connect_mut(|client| {
                let salts = include_str!("../../../sql/maintenance/erasure_import_salts.sql");
                let rows = include_str!("../../../sql/maintenance/erasure_import_rows.sql");
                let argument = lines.to_string();
                client.update(salts, None, &[argument.as_str().into()])?;
                client.update(rows, None, &[argument.as_str().into()])?;
                Ok::<_, ErasureError>(())
            })
        })
    };
    match isolated(add) {
        Ok(result) => result,
        Err(failure) => Err(ErasureError::InvalidLedger(failure.redacted_message())),
    }
}

/// The executed erasures of one salt.
struct OfSalt {
    salt: Vec<u8>,
    hashes: Vec<String>,
    ids: Vec<String>,
}

fn erasures() -> Result<Vec<OfSalt>, ErasureError> {
    let sql = include_str!("../../../sql/maintenance/erasure_ledger.sql");
    let read = |rows: pgrx::spi::SpiTupleTable<'_>| {
        rows.map(|row| {
            Ok(OfSalt {
                salt: row.get(1)?.unwrap_or_default(),
                hashes: row.get(2)?.unwrap_or_default(),
                ids: row.get(3)?.unwrap_or_default(),
            })
        })
        .collect()
    };
    as_owner(|| match session::is_writable() {
        // Imported rows belong to this statement, whose snapshot is older.
        true => spi::connect_mut(|client| read(client.update(sql, None, &[])?)),
        false => Spi::connect(|client| read(client.select(sql, None, &[])?)),
    })
}

/// An account whose hash is in the ledger.
struct Returned {
    id: String,
    erasure: String,
}

fn returned(accounts: &Accounts, erasures: &[OfSalt]) -> Result<Vec<Returned>, ErasureError> {
    let sql = format!(
        "SELECT json_build_array(concat(u.{key}), h.hash)::text FROM {} AS u CROSS JOIN LATERAL \
         (SELECT encode(sha256($1 || convert_to(lower(concat(u.{key})), 'UTF8')), 'hex')) \
         AS h (hash) WHERE h.hash = ANY ($2)",
        accounts.name,
        key = accounts.key
    );
    accounts.require_readable()?;
    let mut found = Vec::new();
    for OfSalt { salt, hashes, ids } in erasures {
        let arguments = [salt.clone().into(), hashes.clone().into()];
        let rows = on_table(accounts.owner, || texts(View::Statement, &sql, &arguments))?;
        for row in rows {
            let Ok([id, hash]) = serde_json::from_str::<[String; 2]>(&row) else { continue };
            let place = hashes.iter().position(|known| *known == hash);
            let erasure = place.and_then(|place| ids.get(place)).cloned().unwrap_or_default();
            found.push(Returned { id, erasure });
        }
    }
    Ok(found)
}

/// Whether erased persons may be back. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn erasure_objection() -> Result<MaterializedRows<3>, ErrorReport> {
    let (erasures, objection) = objection()?;
    let command = objection.is_some().then(|| REPLAY.to_owned());
    Ok(MaterializedRows(vec![[
        erasures.into_datum(),
        objection.into_datum(),
        command.into_datum(),
    ]]))
}

/// The number of executed erasures, and the objection as a sentence without a period.
fn objection() -> Result<(i64, Option<String>), ErasureError> {
    let erasures = erasures()?;
    let known: usize = erasures.iter().map(|of_salt| of_salt.hashes.len()).sum();
    if known > 0 {
        let count = returned(&Accounts::read()?, &erasures)?.len();
        if count > 0 {
            let exist = if count == 1 { "account exists" } else { "accounts exist" };
            return Ok((known as i64, Some(format!("{count} erased {exist} again"))));
        }
    }
    let (system, database) = snapshot::identity();
    let sql = include_str!("../../../sql/maintenance/erasure_unreplayed.sql");
    let is_copy = as_owner(|| {
        Spi::connect(|client| {
            let row = client.select(sql, Some(1), &[system.into(), database.into()])?.first();
            Ok::<_, ErasureError>(row.get::<bool>(1)?.unwrap_or(false))
        })
    })?;
    let copy = "this database is a copy in which the ledger of erasures was not replayed";
    Ok((known as i64, is_copy.then(|| copy.to_owned())))
}
