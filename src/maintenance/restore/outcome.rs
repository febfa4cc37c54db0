//! The end of a restore test: its row, its evidence and its report.

use super::error::RestoreError;
use super::run::Test;
use crate::access::as_owner;
use crate::maintenance::report::plain;
use crate::maintenance::step::Verdict;
use crate::pg::builtins;
use crate::pg::clock;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::readiness;
use crate::time::instant::Instant;
use serde_json::json;

impl Test {
    /// Writes the row of the test and its evidence. The report is its text.
    pub(super) fn finish(mut self, is_typed: bool) -> Result<String, RestoreError> {
        let ended = clock::now();
        let verdict = self.findings.last_line().rsplit(": ").next().unwrap_or_default();
        let id = builtins::new_uuid().to_string();
        let mut backup_id = self.known.as_ref().map(|known| known.id.clone());
        if self.kind == "fresh dump" {
            backup_id = Some(self.log_fresh_dump()?);
        }
        let row = json!({
            "id": id, "backup_id": backup_id, "location": self.location, "kind": self.kind,
            "verdict": verdict, "level": self.findings.level(),
            "faults": self.findings.faults(), "skipped": self.findings.skipped(),
            "backup_bytes": self.backup_bytes, "restored_bytes": self.restored_bytes,
            "rto_seconds": self.rto, "rpo_seconds": self.rpo,
            "started_at": Instant(self.started).to_string(),
            "ended_at": Instant(ended).to_string(), "run_by": session::user(),
        });
        as_owner(|| {
            spi::connect_mut(|client| {
                let sql = include_str!("../../../sql/maintenance/write_restore_test.sql");
                client.update(sql, None, &[pgrx::JsonB(row).into()])?;
                Ok::<_, RestoreError>(())
            })
        })?;
        let details = json!({
            "restore_test": id, "kind": self.kind, "level": self.findings.level(),
            "faults": self.findings.faults().len(),
        });
        let is_valid = self.findings.is_valid();
        readiness::evidence::record_restore_test(is_valid, pgrx::JsonB(details), is_typed)?;
        let mut whole = self.whole();
        whole.ended = Some(ended);
        whole.verdict = if is_valid { Verdict::Done } else { Verdict::Failed };
        whole.detail = self.findings.last_line().to_owned();
        self.context.write_run(&whole, false);
        Ok(self.report(ended))
    }

    fn log_fresh_dump(&self) -> Result<String, RestoreError> {
        let sql = include_str!("../../../sql/maintenance/write_fresh_dump.sql");
        let sql = spi::in_target_schema(sql)?;
        let bytes = self.backup_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        as_owner(|| {
            spi::connect_mut(|client| {
                let begin = Instant(self.started).to_string();
                let row = client.update(sql.as_str(), None, &[bytes.into(), begin.into()])?;
                Ok(row.first().get_one::<String>()?.unwrap_or_default())
            })
        })
    }

    fn report(mut self, ended: i64) -> String {
        let mut heading =
            format!("Restore test of database {}: {}", session::database(), self.kind);
        if let Some(location) = &self.location {
            heading += &format!(" {location}");
        }
        let seconds = (ended - self.started) as f64 / 1e6;
        let rto = self.rto.map_or("unknown".to_owned(), |rto| format!("{rto:.1} s"));
        let rpo = self.rpo.map_or("unknown".to_owned(), |rpo| format!("{rpo:.0} s"));
        self.notes
            .insert(0, format!("Recovery time {rto}, data lost {rpo}; tested {seconds:.1} s."));
        let mut lines = vec![plain(&heading)];
        lines.extend(self.findings.lines(&self.notes));
        lines.join("\n")
    }
}
