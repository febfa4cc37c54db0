//! Examines a restored database: its definitions and contents against those expected, its pages,
//! and its age.

use super::candidates::Manifest;
use super::check;
use super::client::{self, Connection, RunningScript};
use super::comparison::{self, Basis, Comparison};
use super::error::RestoreError;
use super::fault::Fault;
use super::foreign_code;
use super::inventory::{self, Inventory};
use super::item::{Item, Scope};
use super::lock::limited;
use super::verdict::{Finding, Findings, Level};
use crate::pg::error::ServerError;
use crate::settings;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The content that a restored database must have.
pub enum Expected<'a> {
    /// The content of this database under the active snapshot. The inventory was read before the
    /// dump: values of sequences are in no snapshot.
    Source(Inventory),
    /// The content of the manifest; `None` if the backup has none.
    Manifest(Option<&'a Manifest>),
}

/// A restored database.
pub struct Restored<'a> {
    /// The connection to its server.
    pub connection: &'a Connection,
    /// Its name.
    pub database: &'a str,
    /// The part of a server that the backup carries.
    pub scope: Scope,
    /// Whether pg_verifybackup found each file as the source wrote it, by its checksum.
    pub is_vouched: bool,
    /// The directory for files of the test.
    pub directory: &'a Path,
    /// The end of the test's time, in microseconds since 2000.
    pub deadline: i64,
    /// The begin of the test, in seconds since 1970.
    pub started: f64,
}

/// Facts of a restored database.
#[derive(Debug, Default, Deserialize)]
pub struct Facts {
    /// Its size in bytes.
    pub bytes: Option<i64>,
    /// Its heartbeat, in seconds since 1970.
    beat: Option<f64>,
    /// Seconds between its heartbeat and the begin of the test.
    #[serde(skip)]
    pub rpo: Option<f64>,
}

/// Checks of pages that run, in several sessions.
struct Checks {
    inventory: Inventory,
    running: Vec<(RunningScript, PathBuf)>,
}

impl Restored<'_> {
    /// Examines the database and adds what it finds, and its facts. Returns whether it did: code of
    /// other roles keeps it from that.
    pub fn examine(
        &self,
        expected: Expected<'_>,
        findings: &mut Findings,
        facts: &mut Facts,
    ) -> Result<bool, RestoreError> {
        let (connection, directory, deadline) = (self.connection, self.directory, self.deadline);
        let database = self.database;
        if foreign_code::is_restored(connection, database, directory, deadline, findings)? {
            return Ok(false);
        }
        self.run("facts", FACTS, |line| {
            if let Ok(read) = serde_json::from_str::<Facts>(line) {
                facts.bytes = facts.bytes.or(read.bytes);
                facts.beat = facts.beat.or(read.beat);
            }
        })?;
        facts.rpo = facts.beat.map(|beat| (self.started - beat).max(0.0));
        let restored = self.read_inventory()?;
        // The checks install amcheck, so they come after the inventory. Contents are read at the
        // same time: both are bound by the processor.
        let checks = self.start_checks(findings)?;
        let has_checks = checks.is_some();
        let examined = self.compare(expected, restored, findings).and_then(|()| match checks {
            Some(checks) => self.finish_checks(checks, findings),
            None => Ok(()),
        });
        if has_checks && matches!(examined, Err(RestoreError::OutOfTime)) {
            let text = "the time was over before amcheck ended";
            findings.skip(Finding::new(Level::Restores, text));
        }
        examined.map(|()| true)
    }

    fn script(&self, name: &str, sql: &str) -> Result<PathBuf, RestoreError> {
        let path = self.directory.join(format!("{name}.sql"));
        std::fs::write(&path, sql).map_err(|error| RestoreError::unwritable(&path, &error))?;
        Ok(path)
    }

    /// Runs a script of psql on the database. Each line of its output goes to `on_line`.
    pub(super) fn run(
        &self,
        name: &str,
        sql: &str,
        on_line: impl FnMut(&str),
    ) -> Result<(), RestoreError> {
        let script = self.script(name, sql)?;
        let (connection, database) = (self.connection, self.database);
        let exit = client::run_script(connection, database, &script, self.deadline, on_line)?;
        // psql goes on after an error of a statement, and so ends well unless it is cut short.
        client::require_success("psql", &exit)
    }

    /// Starts a script whose output goes to a file.
    fn start(&self, name: &str, sql: &str) -> Result<(RunningScript, PathBuf), RestoreError> {
        let script = self.script(name, sql)?;
        let path = self.directory.join(format!("{name}.out"));
        let file = File::create(&path).map_err(|error| RestoreError::unwritable(&path, &error))?;
        let (connection, database) = (self.connection, self.database);
        let running = RunningScript::start(connection, database, &script, self.deadline, file)?;
        Ok((running, path))
    }

    /// Waits for the end of a script and adds its lines.
    fn finish(
        &self,
        running: RunningScript,
        output: &Path,
        inventory: &mut Inventory,
    ) -> Result<(), RestoreError> {
        client::require_success("psql", &running.wait()?)?;
        let file = File::open(output).map_err(|e| RestoreError::unreadable(output, &e))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| RestoreError::unreadable(output, &error))?;
            inventory.add_line(&line, self.scope)?;
        }
        Ok(())
    }

    fn read_inventory(&self) -> Result<Inventory, RestoreError> {
        let mut inventory = Inventory::default();
        let mut damaged = None;
        let script = inventory::definitions_script(self.scope);
        self.run("definitions", &script, |line| {
            if let Err(error) = inventory.add_line(line, self.scope) {
                damaged.get_or_insert(error);
            }
        })?;
        match damaged {
            Some(error) => Err(error.into()),
            None => Ok(inventory),
        }
    }

    /// Compares definitions and contents. The contents of both sides are read at the same time.
    fn compare(
        &self,
        expected: Expected<'_>,
        mut restored: Inventory,
        findings: &mut Findings,
    ) -> Result<(), RestoreError> {
        let script = inventory::contents_script(&restored.readings);
        let (running, output) = self.start("contents", &script)?;
        let contents = match &expected {
            Expected::Source(own) => {
                limited(self.deadline, || Ok(inventory::source_contents(&own.readings)?))
            }
            Expected::Manifest(_) => Ok(Vec::new()),
        };
        let contents = contents.and_then(|contents| {
            self.finish(running, &output, &mut restored)?;
            Ok(contents)
        });
        if let (Err(RestoreError::OutOfTime), Expected::Source(own)) = (&contents, &expected) {
            self.compare_definitions(own, &restored, findings);
        }
        let contents = contents?;
        let is_compared = !matches!(expected, Expected::Manifest(None));
        let comparison = match expected {
            Expected::Source(mut own) => {
                own.items.extend(contents);
                comparison::compare(&own.items, &restored.items, self.scope, Basis::Exact)
            }
            Expected::Manifest(Some(manifest)) => {
                self.compare_with_manifest(manifest, &restored.items)?
            }
            Expected::Manifest(None) => {
                let text = "the backup has no manifest, so its content was not compared";
                for level in [Level::Complete, Level::Equal] {
                    findings.skip(Finding::new(level, text).with_command(RECORD));
                }
                let items = &restored.items;
                comparison::compare(items, items, self.scope, Basis::Other(&[]))
            }
        };
        self.add(comparison, is_compared, findings);
        Ok(())
    }

    /// Compares with the source what was read in time.
    fn compare_definitions(&self, own: &Inventory, restored: &Inventory, findings: &mut Findings) {
        let definitions = |inventory: &Inventory| -> Vec<Item> {
            inventory.items.iter().filter(|item| !item.is_content()).cloned().collect()
        };
        let (own, restored) = (definitions(own), definitions(restored));
        let comparison = comparison::compare(&own, &restored, self.scope, Basis::Exact);
        self.add(comparison, true, findings);
    }

    fn compare_with_manifest(
        &self,
        manifest: &Manifest,
        restored: &[Item],
    ) -> Result<Comparison, RestoreError> {
        let items: Vec<Item> = serde_json::from_str(&manifest.items)
            .map_err(|_| ServerError::UnreadableJson("a manifest"))?;
        let has_same_beat = comparison::has_snapshot(&items, restored);
        let compare = |basis| comparison::compare(&items, restored, self.scope, basis);
        if manifest.is_exact && has_same_beat && self.scope == Scope::Dump {
            return Ok(compare(Basis::Exact));
        }
        let now = self.source_now(&items, restored)?;
        // A base backup ends after the snapshot that its manifest describes. A backup that began
        // after the manifest has the heartbeat that came with it.
        let is_near = manifest.is_exact || !has_same_beat;
        Ok(compare(if is_near { Basis::Near(&now) } else { Basis::Other(&now) }))
    }

    /// Adds a comparison. A part that was not compared leaves its level open.
    fn add(&self, comparison: Comparison, is_compared: bool, findings: &mut Findings) {
        comparison.faults.into_iter().for_each(|fault| findings.fault(finding(fault)));
        comparison.skipped.into_iter().for_each(|fault| findings.skip(finding(fault)));
        if !is_compared {
            return;
        }
        let (same, changed) = (comparison.same_definitions, comparison.changed_definitions);
        if same > 0 && changed == 0 {
            findings.prove(Level::Complete, format!("{same} definitions are the same"));
        }
        let (contents, rows) = (comparison.same_contents, comparison.same_rows);
        let unseen = comparison.unread + comparison.changed_contents;
        // A database without rows is equal to one without rows.
        if contents > 0 && unseen == 0 {
            let text = format!("{contents} tables and sequences with {rows} rows are the same");
            findings.prove(Level::Equal, text);
        }
        if unseen + changed == 0 {
            return;
        }
        let reason = match (self.is_vouched, self.scope) {
            _ if comparison.unread > 0 => "",
            (true, _) => ": pg_verifybackup vouches for their files",
            (false, Scope::Dump) => ": let pg_dump share the snapshot of record_backup",
            (false, Scope::Cluster) => ": only the checksums of a backup_manifest would prove them",
        };
        findings.note(format!(
            "Not compared: {unseen} of {} tables and sequences, {changed} of {} \
             definitions{reason}.",
            contents + unseen,
            same + changed,
        ));
        if self.is_vouched && comparison.unread == 0 {
            findings.vouch();
        }
    }

    /// The definitions of the source, and those of its contents that differ from the manifest.
    fn source_now(&self, manifest: &[Item], restored: &[Item]) -> Result<Vec<Item>, RestoreError> {
        let differing = comparison::differing_contents(manifest, restored, self.scope);
        limited(self.deadline, || {
            let mut now = inventory::source_definitions(self.scope)?;
            now.readings.retain(|reading| differing.contains(&reading.name));
            now.items.extend(inventory::source_contents(&now.readings)?);
            Ok(now.items)
        })
    }

    /// Starts to check the pages of the restored tables and indexes with amcheck; `None` without
    /// it.
    fn start_checks(&self, findings: &mut Findings) -> Result<Option<Checks>, RestoreError> {
        let mut checks = Inventory::default();
        self.run("checks", &inventory::checks_script(), |line| {
            // A line of another form is a check that is not run, and so not counted.
            let _ = checks.add_line(line, self.scope);
        })?;
        if checks.readings.is_empty() {
            let text = "amcheck is not installed, so no page was checked";
            findings.skip(Finding::new(Level::Restores, text).with_command(AMCHECK));
            return Ok(None);
        }
        let sessions = usize::try_from(settings::restore_jobs()).unwrap_or(1).min(MAX_CHECKERS);
        let running = inventory::shares(&checks.readings, sessions)
            .iter()
            .enumerate()
            .map(|(n, share)| self.start(&format!("pages{n}"), &inventory::contents_script(share)))
            .collect::<Result<_, _>>()?;
        Ok(Some(Checks { inventory: checks, running }))
    }

    /// Checks the source's indexes, and then judges both.
    fn finish_checks(&self, checks: Checks, findings: &mut Findings) -> Result<(), RestoreError> {
        let Checks { inventory: mut checks, running } = checks;
        let own = limited(self.deadline, || Ok(inventory::source_checks()?))?;
        for (running, output) in running {
            self.finish(running, &output, &mut checks)?;
        }
        let unchecked = checks.readings.len() - checks.items.len().min(checks.readings.len());
        if unchecked > 0 {
            let text = format!("{unchecked} tables and indexes were not checked: psql ended early");
            findings.fault(Finding::new(Level::Restores, text));
        }
        let judged = check::judge(&checks.items);
        if judged.sound > 0 {
            let text = format!("amcheck finds {} tables and indexes sound", judged.sound);
            findings.prove(Level::Restores, text);
        }
        let add = |fault: Fault, place: &str| {
            Finding::new(Level::Restores, format!("{}{place}", fault.text))
                .of(format!("{} {}", fault.kind, fault.object))
        };
        judged.faults.into_iter().for_each(|fault| findings.fault(add(fault, "")));
        judged.skipped.into_iter().for_each(|fault| findings.skip(add(fault, "")));
        let Some(own) = own else { return Ok(()) };
        let judged = check::judge(&own);
        let place = ", in the source itself";
        judged.faults.into_iter().for_each(|fault| findings.fault(add(fault, place)));
        Ok(())
    }
}

/// The statement that records a backup with its manifest.
const RECORD: &str = "SELECT crewsnow_ops.record_backup('/var/backups/shop.dump', 'daily');";

/// How many sessions check pages at the same time: a private server has few connections.
const MAX_CHECKERS: usize = 4;

/// The statement that installs amcheck, of the server's contrib modules.
const AMCHECK: &str = "CREATE EXTENSION amcheck;";

/// Facts of the restored database. Without the extension there is no heartbeat.
const FACTS: &str = include_str!("../../../sql/maintenance/restore_facts.sql");

fn finding(fault: Fault) -> Finding {
    let level = if fault.is_content { Level::Equal } else { Level::Complete };
    Finding::new(level, fault.text).of(format!("{} {}", fault.kind, fault.object))
}
