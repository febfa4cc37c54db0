//! The jobs of a schedule, and their lines for cron and systemd. Pure.

/// A statement that a clock runs. Times of day are in GMT, as pg_cron reads them.
pub(super) struct Job {
    /// Short name, unique.
    pub(super) name: &'static str,
    /// Five fields of cron.
    pub(super) schedule: &'static str,
    /// `OnCalendar` of systemd.
    pub(super) calendar: &'static str,
    /// The statement, with `@extschema@` for the schema of the runbook's objects.
    pub(super) command: &'static str,
    /// The function that it calls, not overloaded. Without it the job is left out.
    pub(super) function: &'static str,
    /// Whether it serves pg_cron itself.
    pub(super) is_of_pg_cron: bool,
}

/// Maintenance looks every five minutes whether it is due, because pg_cron knows no DST. It runs
/// once in each window.
pub(super) const JOBS: [Job; 6] = [
    Job {
        name: "roll-up",
        schedule: "* * * * *",
        calendar: "*-*-* *:*:00",
        command: "SELECT * FROM crewsnow_ops.roll_up_events()",
        function: "crewsnow_ops.roll_up_events",
        is_of_pg_cron: false,
    },
    Job {
        name: "samples",
        schedule: "* * * * *",
        calendar: "*-*-* *:*:30",
        command: "SELECT crewsnow_ops.sample_health()",
        function: "crewsnow_ops.sample_health",
        is_of_pg_cron: false,
    },
    Job {
        name: "retention",
        schedule: "23 * * * *",
        calendar: "*-*-* *:23:00",
        command: "SELECT * FROM crewsnow_ops.apply_event_retention()",
        function: "crewsnow_ops.apply_event_retention",
        is_of_pg_cron: false,
    },
    Job {
        name: "weekly maintenance",
        schedule: "*/5 * * * *",
        calendar: "*-*-* *:00/5:00",
        command: "SELECT @extschema@.run_performance_maintenance() \
                  WHERE crewsnow_ops.maintenance_is_due()",
        function: "@extschema@.run_performance_maintenance",
        is_of_pg_cron: false,
    },
    Job {
        name: "monthly audit",
        schedule: "7 3 1 * *",
        calendar: "*-*-01 03:07:00 UTC",
        command: "SELECT crewsnow_ops.record_rls_audit()",
        function: "crewsnow_ops.record_rls_audit",
        is_of_pg_cron: false,
    },
    Job {
        name: "history",
        schedule: "43 3 * * *",
        calendar: "*-*-* 03:43:00 UTC",
        command: PRUNE_HISTORY,
        function: "cron.alter_job",
        is_of_pg_cron: true,
    },
];

/// pg_cron keeps each run for ever. The last run of a job stays, because checks read it, and so do
/// the runs of other jobs.
const PRUNE_HISTORY: &str = "DELETE FROM cron.job_run_details AS d \
    USING cron.job AS j, (SELECT r.jobid, max(r.runid) AS runid FROM cron.job_run_details AS r \
    GROUP BY r.jobid) AS l \
    WHERE j.jobid = d.jobid AND j.jobname LIKE 'crewsnow\\_ops %' AND l.jobid = d.jobid \
    AND d.runid < l.runid AND d.end_time < now() - interval '7 days'";

/// The bytes of a name in pg_cron.
const MAX_NAME: usize = 63;

/// The name of a job in pg_cron, which may serve several databases. A name that is too long ends
/// with a hash of all of it (FNV-1a), because long names of databases often differ in the end only.
pub(super) fn job_name(job: &Job, database: &str) -> String {
    let whole = format!("crewsnow_ops {} {database}", job.name);
    if whole.len() <= MAX_NAME {
        return whole;
    }
    let hash = whole
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut name = whole;
    while name.len() > MAX_NAME - 9 {
        name.pop();
    }
    format!("{name} {hash:08x}")
}

/// The connection of psql.
pub(super) struct Connection {
    pub(super) port: String,
    pub(super) role: String,
    pub(super) database: String,
}

impl Connection {
    /// Whether a line of a file can hold its names.
    pub(super) fn is_printable(&self) -> bool {
        !self.role.chars().chain(self.database.chars()).any(char::is_control)
    }

    fn psql(&self, quote: impl Fn(&str) -> String, command: &str) -> String {
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let word = |name: &str| if is_plain(name) { name.to_owned() } else { quote(name) };
        let database = match is_plain(&self.database) {
            true => self.database.clone(),
            // psql would read a name with `=` as a connection string.
            false => {
                format!("dbname='{}'", self.database.replace('\\', "\\\\").replace('\'', "\\'"))
            }
        };
        format!(
            "psql -XqAt -p {} -U {} -d {} -c {}",
            self.port,
            word(&self.role),
            word(&database),
            quote(command)
        )
    }
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word of a systemd unit: `%` and `$` are special even within quotes.
fn unit_quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%").replace('$', "$$"))
}

/// A line of a crontab. cron takes `%` as the end of a line, even within quotes.
pub(super) fn crontab_line(job: &Job, connection: &Connection, command: &str) -> String {
    let psql = connection.psql(shell_quoted, command);
    format!("{} {} >/dev/null", job.schedule, psql.replace('%', "\\%"))
}

/// The name of the units of a job of a database. Other characters are hexadecimal.
fn unit(job: &Job, database: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_string(),
        false => format!("_{:02x}", u32::from(c)),
    };
    let database: String = database.chars().map(plain).collect();
    format!("crewsnow_ops-{database}-{}", job.name.replace(' ', "-"))
}

/// One line of shell that writes the units of a job and starts its timer.
pub(super) fn systemd_line(job: &Job, connection: &Connection, command: &str) -> String {
    let unit = unit(job, &connection.database);
    let service = ["[Service]", "Type=oneshot", "User=postgres"].map(shell_quoted).join(" ");
    let run = format!("ExecStart=/usr/bin/{}", connection.psql(unit_quoted, command));
    let timer = [
        "[Timer]",
        &format!("OnCalendar={}", job.calendar),
        "AccuracySec=1s",
        "[Install]",
        "WantedBy=timers.target",
    ]
    .map(shell_quoted)
    .join(" ");
    format!(
        "printf '%s\\n' {service} {} >/etc/systemd/system/{unit}.service; \
         printf '%s\\n' {timer} >/etc/systemd/system/{unit}.timer; \
         systemctl daemon-reload; systemctl enable --now {unit}.timer",
        shell_quoted(&run)
    )
}

/// One line of shell that removes the units of a job.
pub(super) fn systemd_removal(job: &Job, database: &str) -> String {
    let unit = unit(job, database);
    format!(
        "systemctl disable --now {unit}.timer; \
         rm -f /etc/systemd/system/{unit}.timer /etc/systemd/system/{unit}.service"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn connection(database: &str) -> Connection {
        Connection { port: "5432".into(), role: "night shift".into(), database: database.into() }
    }

    fn job() -> &'static Job {
        JOBS.iter().find(|job| job.name == "samples").expect("the job")
    }

    #[test]
    fn a_crontab_line_is_one_command_for_the_shell() {
        assert_eq!(
            crontab_line(job(), &connection("a'b%c"), "SELECT 1"),
            "* * * * * psql -XqAt -p 5432 -U 'night shift' \
             -d 'dbname='\\''a\\'\\''b\\%c'\\''' -c 'SELECT 1' >/dev/null"
        );
    }

    #[test]
    fn a_unit_has_no_specifier_of_a_name() {
        let line = systemd_line(job(), &connection("50%"), "SELECT '$HOME'");
        assert!(line.contains("50%%") && line.contains("$$HOME"), "{line}");
        assert!(line.contains("'OnCalendar=*-*-* *:*:30'"), "{line}");
    }

    #[test]
    fn each_job_has_a_name_of_its_own() {
        for job in &JOBS {
            assert_eq!(JOBS.iter().filter(|other| other.name == job.name).count(), 1);
        }
    }

    proptest! {
        #[test]
        fn a_job_name_fits_pg_cron(database in "\\PC{0,80}") {
            let name = job_name(job(), &database);
            prop_assert!(name.len() <= MAX_NAME);
            let other = job_name(job(), &format!("{database}2"));
            prop_assert_ne!(&name, &other);
            let whole = format!("crewsnow_ops samples {database}");
            prop_assert_eq!(name == whole, whole.len() <= MAX_NAME);
        }

        #[test]
        fn a_quoted_name_is_one_word_of_the_shell(name in "\\PC{0,30}") {
            let quoted = shell_quoted(&name);
            prop_assert_eq!(quoted[1..quoted.len() - 1].replace("'\\''", "'"), name);
        }
    }
}
