//! Levels of proof, and the verdict and report of a restore test.

use crate::maintenance::report::plain;
use serde::Serialize;

/// The last line of a test without a fault, of a backup with proved content.
pub const VALIDATED: &str = "Backup/restore procedure: VALIDATED";
/// The last line of every other test.
pub const ISSUES_DETECTED: &str = "Backup/restore procedure: ISSUES DETECTED";

/// Lines of one kind; the others are counted.
const MAX_LINES: usize = 50;

/// A level of proof, each of which rests on those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "i32")]
pub enum Level {
    /// The backup is young enough.
    Fresh,
    /// Its files are complete and of this server's version.
    Readable,
    /// It restores, and the restored pages are sound.
    Restores,
    /// Each object is there as it was.
    Complete,
    /// Each row and each sequence is there as it was.
    Equal,
    /// The application's end-to-end tests pass on it.
    Usable,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 6] =
        [Self::Fresh, Self::Readable, Self::Restores, Self::Complete, Self::Equal, Self::Usable];

    fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Readable => "readable",
            Self::Restores => "restores",
            Self::Complete => "complete",
            Self::Equal => "content",
            Self::Usable => "usable",
        }
    }
}

impl From<Level> for i32 {
    fn from(level: Level) -> Self {
        level as Self
    }
}

/// A fault of a backup, or a part that was not tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The level that it belongs to.
    pub level: Level,
    /// The object, qualified and quoted; empty if there is none.
    pub object: String,
    /// One sentence without a period and without values of rows.
    pub text: String,
    /// A command that shows or cures it, on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Finding {
    /// A finding without an object and a command.
    pub fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, object: String::new(), text: text.into(), command: None }
    }

    /// The finding with its object.
    #[must_use]
    pub fn of(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }

    /// The finding with a command. A command with line breaks is left out: it cannot be pasted.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into()).filter(|text| !text.chars().any(char::is_control));
        self
    }
}

/// Everything that a test found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    faults: Vec<Finding>,
    skipped: Vec<Finding>,
    proofs: Vec<(Level, String)>,
    notes: Vec<String>,
    is_vouched: bool,
    is_cut_short: bool,
}

impl Findings {
    /// Adds a fault.
    pub fn fault(&mut self, finding: Finding) {
        self.faults.push(finding);
    }

    /// Adds a part that was not tested. The level can still be reached.
    pub fn skip(&mut self, finding: Finding) {
        self.skipped.push(finding);
    }

    /// Adds the evidence of a level.
    pub fn prove(&mut self, level: Level, text: impl Into<String>) {
        self.proofs.push((level, text.into()));
    }

    /// Adds a sentence above the last line.
    pub fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Notes that checksums of files stand for the parts that changed in the source during the
    /// backup, so that nothing could be compared with them.
    pub fn vouch(&mut self) {
        self.is_vouched = true;
    }

    /// Notes that the time was over before the lowest level that is not reached.
    pub fn cut_short(&mut self) {
        let open = Level::ALL.into_iter().find(|level| !self.is_reached(*level));
        let text = "the time of crewsnow_ops.restore_budget was over";
        let rest = Finding::new(open.unwrap_or(Level::Usable), text);
        self.skip(rest.with_command("SET crewsnow_ops.restore_budget = '3 hours';"));
        self.is_cut_short = true;
    }

    /// The faults so far.
    pub fn faults(&self) -> &[Finding] {
        &self.faults
    }

    /// The parts that were not tested.
    pub fn skipped(&self) -> &[Finding] {
        &self.skipped
    }

    fn is_reached(&self, level: Level) -> bool {
        let is_proved = self.proofs.iter().any(|(proved, _)| *proved == level);
        is_proved && !self.faults.iter().any(|fault| fault.level == level)
    }

    /// The highest level that is reached with all levels below it; `None` if not the lowest.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        Level::ALL.into_iter().take_while(|level| self.is_reached(*level)).last()
    }

    /// Whether the test came to its end without a fault, and with evidence of the whole content.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let needed = if self.is_vouched { Level::Restores } else { Level::Equal };
        !self.is_cut_short && self.faults.is_empty() && self.level() >= Some(needed)
    }

    /// The last line of the report.
    #[must_use]
    pub fn last_line(&self) -> &'static str {
        if self.is_valid() { VALIDATED } else { ISSUES_DETECTED }
    }

    /// The lines of the report after its heading: worst first, the verdict last.
    #[must_use]
    pub fn lines(&self, notes: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        for (verdict, findings) in [("FAULT", &self.faults), ("SKIPPED", &self.skipped)] {
            for finding in findings.iter().take(MAX_LINES) {
                let subject = if finding.object.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", plain(&finding.object))
                };
                let text = format!("{subject}{}", plain(&finding.text));
                lines.push(line(verdict, finding.level, &text));
                lines.extend(finding.command.iter().map(|command| format!("{INDENT}{command}")));
            }
            if findings.len() > MAX_LINES {
                let more = findings.len() - MAX_LINES;
                lines.push(format!("{verdict:<8} {more} more: see crewsnow_ops.restore_tests"));
            }
        }
        for level in Level::ALL.into_iter().filter(|level| self.is_reached(*level)) {
            let proofs = self.proofs.iter().filter(|(proved, _)| *proved == level);
            lines.extend(proofs.map(|(_, text)| line("OK", level, &plain(text))));
        }
        for level in Level::ALL {
            let is_told = |finding: &Finding| finding.level == level;
            let is_silent = !self.faults.iter().any(is_told)
                && !self.skipped.iter().any(is_told)
                && !self.is_reached(level);
            if is_silent {
                lines.push(line("SKIPPED", level, "not reached"));
            }
        }
        lines.extend(notes.iter().chain(&self.notes).map(|note| plain(note)));
        lines.push(self.last_line().to_owned());
        lines
    }
}

const INDENT: &str = "         ";

fn line(verdict: &str, level: Level, text: &str) -> String {
    format!("{verdict:<8} {} {:<9} {text}", level as i32, level.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proved(levels: &[Level]) -> Findings {
        let mut findings = Findings::default();
        for level in levels {
            findings.prove(*level, "seen");
        }
        findings
    }

    #[test]
    fn content_that_was_not_compared_is_not_validated() {
        let findings = proved(&Level::ALL[..4]);
        assert_eq!(findings.level(), Some(Level::Complete));
        assert_eq!(findings.lines(&[]).last().map(String::as_str), Some(ISSUES_DETECTED));
        let findings = proved(&Level::ALL[..5]);
        assert_eq!(findings.lines(&[]).last().map(String::as_str), Some(VALIDATED));
    }

    #[test]
    fn checksums_stand_for_parts_that_changed_but_not_for_a_level() {
        let mut findings = proved(&Level::ALL[..3]);
        findings.vouch();
        assert_eq!((findings.level(), findings.is_valid()), (Some(Level::Restores), true));
        findings.fault(Finding::new(Level::Equal, "one row fewer"));
        assert!(!findings.is_valid());
        let mut findings = proved(&Level::ALL[..2]);
        findings.vouch();
        assert!(!findings.is_valid(), "it was not restored");
    }

    #[test]
    fn a_test_that_was_cut_short_tells_how_far_it_came() {
        let mut findings = proved(&Level::ALL[..3]);
        findings.cut_short();
        assert_eq!(findings.level(), Some(Level::Restores));
        let lines = findings.lines(&[]);
        let skipped = "SKIPPED  3 complete  the time of crewsnow_ops.restore_budget was over";
        assert_eq!(lines[0], skipped);
        assert!(lines.contains(&"SKIPPED  4 content   not reached".to_owned()), "{lines:?}");
        let mut findings = proved(&Level::ALL);
        findings.cut_short();
        assert!(!findings.is_valid(), "a part is left");
    }

    #[test]
    fn a_level_above_a_gap_is_not_reached() {
        let findings = proved(&[Level::Fresh, Level::Restores, Level::Complete, Level::Equal]);
        assert_eq!(findings.level(), Some(Level::Fresh));
        assert!(!findings.is_valid());
    }

    #[test]
    fn a_name_with_a_line_break_forges_no_line() {
        let mut findings = proved(&Level::ALL);
        let fault = Finding::new(Level::Equal, "one row fewer").of("public.\"a\nOK\"");
        findings.fault(fault.with_command("SELECT 1;\nDROP TABLE a"));
        let lines = findings.lines(&[]);
        assert_eq!(lines[0], "FAULT    4 content   public.\"a?OK\": one row fewer");
        assert!(lines.iter().all(|line| !line.contains('\n') && !line.contains("DROP")));
    }

    proptest! {
        /// Any fault makes any test invalid, and every fault is told or counted.
        #[test]
        fn no_fault_is_lost(levels in proptest::collection::vec(0usize..6, 1..80)) {
            let mut findings = proved(&Level::ALL);
            for level in &levels {
                findings.fault(Finding::new(Level::ALL[*level], "wrong"));
            }
            prop_assert!(!findings.is_valid());
            let lines = findings.lines(&[]);
            let is_told = |line: &&String| line.starts_with("FAULT") && line.ends_with("wrong");
            let told = lines.iter().filter(is_told);
            prop_assert_eq!(told.count(), levels.len().min(MAX_LINES));
            let counted = lines.iter().any(|line| line.contains(" more: "));
            prop_assert_eq!(counted, levels.len() > MAX_LINES);
        }
    }
}
