//! Client programs and their connection to the databases of this server.

use super::error::RestoreError;
use super::programs::Program;
use super::toc;
use crate::pg::clock;
use crate::pg::process::{Exit, Launch, Process, ProcessError, Status};
use crate::pg::xact::{sec_context, session};
use crate::settings;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// The connection of client programs to a server, without the database.
#[derive(Debug, Clone)]
pub struct Connection {
    conninfo: String,
}

/// A value of a connection string, in quotes.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Connection {
    /// The connection to this server, as the present role unless
    /// `crewsnow_ops.restore_connection` says otherwise. 42501 if that is no superuser: the dump
    /// has extensions. 22023 if the setting has a password: each user of the machine could read it
    /// in the list of processes.
    pub fn of_this_server() -> Result<Self, RestoreError> {
        let given = settings::restore_connection();
        if given.to_lowercase().replace(' ', "").contains("password=") || given.contains("://") {
            return Err(RestoreError::PasswordInSetting);
        }
        let names_user = given.split_whitespace().any(|word| word.starts_with("user="));
        if !names_user && !session::is_superuser() {
            return Err(RestoreError::NeedsSuperuser);
        }
        let sockets = session::setting("unix_socket_directories").unwrap_or_default();
        let socket = sockets.split(',').next().unwrap_or_default().trim();
        let host = if socket.is_empty() { "localhost" } else { socket };
        let port = session::setting("port").unwrap_or_default();
        // Later keywords win, so the setting overrides the defaults.
        let conninfo = format!(
            "host={} port={port} user={} connect_timeout=10 {given}",
            quoted(host),
            quoted(&sec_context::current_user())
        );
        Ok(Self { conninfo })
    }

    /// The connection to a private server on this socket directory.
    pub fn of_socket(directory: &Path, port: u16, user: &str) -> Self {
        let host = quoted(&directory.to_string_lossy());
        Self { conninfo: format!("host={host} port={port} user={}", quoted(user)) }
    }

    /// The value of `--dbname` for a database.
    pub fn database(&self, name: &str) -> String {
        format!("{} dbname={} application_name=crewsnow_ops", self.conninfo, quoted(name))
    }
}

/// The instant of a deadline in microseconds since 2000.
pub fn instant(deadline: i64) -> Instant {
    let rest = u64::try_from(deadline - clock::now()).unwrap_or(0);
    Instant::now() + Duration::from_micros(rest)
}

fn launch(program: &Program, arguments: impl IntoIterator<Item = String>) -> Launch {
    program
        .launch()
        .args(arguments)
        // Settings of the role must not change what a dump does.
        .env(
            "PGOPTIONS",
            "-c client_min_messages=warning -c statement_timeout=0 \
             -c session_replication_role=origin -c quote_all_identifiers=off \
             -c standard_conforming_strings=on",
        )
        .env("PGCLIENTENCODING", "UTF8")
}

/// Runs a client program to its end, and passes each line of its output to `on_line`.
pub fn run(
    name: &str,
    arguments: impl IntoIterator<Item = String>,
    deadline: i64,
    mut on_line: impl FnMut(&str),
) -> Result<Exit, RestoreError> {
    let program = Program::find(name)?;
    let launch = launch(&program, arguments).read_lines();
    program.run(launch, Some(instant(deadline)), |line| {
        on_line(&String::from_utf8_lossy(line));
        Ok(())
    })
}

fn script_arguments(connection: &Connection, database: &str, script: &Path) -> [String; 4] {
    [
        "-XAtq".to_owned(),
        "--no-password".to_owned(),
        format!("--dbname={}", connection.database(database)),
        format!("--file={}", script.display()),
    ]
}

/// Runs a script of psql on a database. Each line of its output goes to `on_line`.
pub fn run_script(
    connection: &Connection,
    database: &str,
    script: &Path,
    deadline: i64,
    on_line: impl FnMut(&str),
) -> Result<Exit, RestoreError> {
    run("psql", script_arguments(connection, database, script), deadline, on_line)
}

/// A script of psql that runs while this session does other work.
pub struct RunningScript {
    process: Process,
    deadline: i64,
}

impl RunningScript {
    /// Starts a script whose output goes to a file.
    pub fn start(
        connection: &Connection,
        database: &str,
        script: &Path,
        deadline: i64,
        output: File,
    ) -> Result<Self, RestoreError> {
        let program = Program::find("psql")?;
        let arguments = script_arguments(connection, database, script);
        let launch = launch(&program, arguments).write_output(output);
        Ok(Self { process: program.start(launch)?, deadline })
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Exit, RestoreError> {
        self.process
            .wait(Some(instant(self.deadline)), |_| Ok::<_, ProcessError>(()))
            .map_err(|error| RestoreError::Program(error.to_string()))
    }
}

/// The error of a program that did not succeed, but must.
pub fn require_success(program: &'static str, exit: &Exit) -> Result<(), RestoreError> {
    if exit.status.is_success() { Ok(()) } else { Err(failed(program, exit)) }
}

/// The error of a program that must succeed. Its messages may quote rows.
pub fn failed(program: &'static str, exit: &Exit) -> RestoreError {
    if exit.status == Status::Expired {
        return RestoreError::OutOfTime;
    }
    let messages = String::from_utf8_lossy(&exit.errors);
    let message = messages
        .lines()
        .find_map(|line| line.split_once(": error: ").map(|(_, message)| toc::withheld(message)))
        .unwrap_or_else(|| match exit.status {
            Status::Code(code) => format!("it ended with code {code}"),
            Status::Signal(signal) => format!("signal {signal} ended it"),
            Status::Expired => String::new(),
        });
    RestoreError::Failed { program, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_connection_string_stay_names() {
        let connection = Connection::of_socket(Path::new("/tmp/it's"), 1, "a' port='2");
        let text = connection.database(r"shop\");
        assert_eq!(
            text,
            format!(
                "{} {}",
                r"host='/tmp/it\'s' port=1 user='a\' port=\'2' dbname='shop\\'",
                "application_name=crewsnow_ops"
            )
        );
    }
}
