//! The report of a run as text: worst first, the verdict of the whole run in the last line.

use super::step::{Step, Verdict};

/// Lines for finished steps; the others are counted.
const MAX_DONE: usize = 20;
/// Lines for steps that were not done; the others are counted.
const MAX_UNDONE: usize = 50;

/// Everything that a report tells.
pub struct Report<'a> {
    /// The first words of the report and of its last line.
    pub title: &'a str,
    /// The table of the steps, in the schema crewsnow_ops.
    pub table: &'a str,
    /// The line of a run without steps.
    pub nothing: &'a str,
    /// The database.
    pub database: &'a str,
    /// The steps in their order.
    pub steps: &'a [Step],
    /// Notes on the whole run, each one sentence with its period.
    pub notes: &'a [String],
    /// The duration in seconds.
    pub seconds: f64,
}

fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else if seconds < 3_600.0 {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    } else {
        format!("{:.0} h {:02.0} min", (seconds / 3_600.0).floor(), (seconds % 3_600.0) / 60.0)
    }
}

/// The width of a report, and the indentation of its continued lines.
const WIDTH: usize = 110;
const INDENTATION: &str = "         ";

/// The text in lines of at most [`WIDTH`] columns, broken between words.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
            Some(_) => lines.push(format!("{INDENTATION}{word}")),
        }
    }
    lines.join("\n")
}

/// The text with `?` for each control character: a name must not begin a line.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The lines of a step. A command is never broken, so that it can be pasted.
fn line(step: &Step) -> String {
    let time = step
        .seconds()
        .filter(|_| step.verdict == Verdict::Done)
        .map_or_else(|| String::from("       "), |seconds| format!("{:>7}", duration(seconds)));
    let mut line =
        format!("{:<8} {:<9}{time}  {}", step.verdict.as_str(), step.task, plain(&step.object));
    if !step.detail.is_empty() {
        line += &format!(": {}", plain(&step.detail));
    }
    line = wrapped(&line);
    if let Some(command) = &step.command {
        line += &format!("\n{INDENTATION}{command}");
    }
    line
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Failed => 0,
        Verdict::Skipped => 1,
        Verdict::Started => 2,
        Verdict::Covered => 3,
        Verdict::Done => 4,
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl Report<'_> {
    fn count(&self, verdict: Verdict) -> usize {
        self.steps.iter().filter(|step| step.verdict == verdict).count()
    }

    /// The report.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} of database {}: {} in {}",
            self.title,
            plain(self.database),
            counted(self.count(Verdict::Done), "step done", "steps done"),
            duration(self.seconds)
        )];
        lines.extend(self.notes.iter().map(|note| plain(note)));
        let mut sorted: Vec<&Step> = self.steps.iter().collect();
        sorted.sort_by(|a, b| {
            let seconds = |step: &Step| step.seconds().unwrap_or_default();
            rank(a.verdict).cmp(&rank(b.verdict)).then(seconds(b).total_cmp(&seconds(a)))
        });
        let (done, others): (Vec<&Step>, Vec<&Step>) =
            sorted.into_iter().partition(|step| step.verdict == Verdict::Done);
        for (steps, max) in [(&others, MAX_UNDONE), (&done, MAX_DONE)] {
            lines.extend(steps.iter().take(max).map(|step| line(step)));
            if steps.len() > max {
                lines.push(format!(
                    "and {} more: SELECT * FROM crewsnow_ops.{} ORDER BY started_at DESC;",
                    steps.len() - max,
                    self.table
                ));
            }
        }
        if self.steps.is_empty() {
            lines.push(self.nothing.to_owned());
        }
        lines.push(self.last_line());
        lines.join("\n")
    }

    /// The verdict of the run.
    #[must_use]
    pub fn last_line(&self) -> String {
        let failed = self.count(Verdict::Failed);
        let skipped = self.count(Verdict::Skipped);
        let parts: Vec<String> = [(failed, "failed"), (skipped, "not done")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        if parts.is_empty() {
            format!("{} completed", self.title)
        } else {
            format!("{} incomplete: {}", self.title, parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(verdict: Verdict, object: &str, seconds: i64) -> Step {
        Step {
            ended: Some(seconds * 1_000_000),
            ..Step::at(0, "vacuum", object.to_owned(), verdict)
        }
    }

    fn text(steps: &[Step]) -> String {
        Report {
            title: "Performance maintenance",
            table: "maintenance_runs",
            nothing: "Nothing needs maintenance now.",
            database: "shop",
            steps,
            notes: &[],
            seconds: 75.0,
        }
        .text()
    }

    #[test]
    fn a_run_without_work_is_complete() {
        assert!(
            text(&[])
                .ends_with("Nothing needs maintenance now.\nPerformance maintenance completed")
        );
    }

    #[test]
    fn the_last_line_tells_what_failed() {
        let covered = step(Verdict::Covered, "public.c", 0);
        let done = step(Verdict::Done, "public.a", 3);
        assert!(text(&[done.clone(), covered]).ends_with("Performance maintenance completed"));
        let steps = [done, step(Verdict::Failed, "public.b", 1), step(Verdict::Skipped, "d", 0)];
        let text = text(&steps);
        assert!(
            text.ends_with("Performance maintenance incomplete: 1 failed, 1 not done"),
            "{text}"
        );
        let positions = ["public.b", "SKIPPED", "public.a"].map(|word| text.find(word));
        assert!(positions.is_sorted(), "worst first: {text}");
        assert!(text.contains("1 min 15 s"), "{text}");
    }

    #[test]
    fn a_long_reason_is_broken_and_a_command_is_not() {
        let mut long = step(Verdict::Failed, "public.b", 1);
        long.detail = "word ".repeat(60).trim().to_owned();
        long.command = Some("SELECT 1; ".repeat(20));
        let text = text(&[long.clone()]);
        let command =
            text.lines().find(|line| line.trim() == long.command.as_deref().unwrap().trim());
        assert!(command.is_some(), "{text}");
        let others = text.lines().filter(|line| Some(*line) != command);
        assert!(others.map(|line| line.chars().count()).max() <= Some(WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 60);
    }

    #[test]
    fn many_steps_are_counted() {
        let steps: Vec<Step> =
            (0..300).map(|i| step(Verdict::Done, &format!("public.t{i}"), i)).collect();
        let text = text(&steps);
        assert!(text.contains("and 280 more") && text.lines().count() < 30, "{text}");
        assert!(text.contains("public.t299") && !text.contains("public.t10:"), "{text}");
    }
}
