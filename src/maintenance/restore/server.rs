//! A private server on a copy of a base backup.
//!
//! It listens on a Unix socket in its data directory, and ends with this session. It starts no
//! worker: a subscription of the copy would take changes from the publisher of the source, and a
//! scheduler would run its jobs twice.

use super::backup::Backup;
use super::base_copy::{BaseCopy, Verification};
use super::base_wal;
use super::error::RestoreError;
use super::programs::Program;
use crate::pg::installation;
use crate::pg::process::{self, Ending, Process, Status};
use crate::pg::xact::sec_context;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the start looks for the end of the recovery.
const TICK: Duration = Duration::from_millis(20);
/// Number of the Unix socket.
const PORT: u16 = 5432;
/// Longest path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 100;
/// Bytes at the end of the log that are searched for the reason of a failure.
const LOG_TAIL: u64 = 16 * 1024;
/// The oid of the role that initdb creates.
const BOOTSTRAP_ROLE: u32 = 10;
/// Replication slots and origins. A recovery fails with fewer origins than the copy has.
const ORIGINS: u32 = 200;

/// A running private server. Dropped, it ends, and its files are removed.
pub struct PrivateServer {
    // Fields are dropped in this order: the server ends before its files go.
    process: Process,
    socket: PathBuf,
    user: String,
    system_identifier: String,
    copy: BaseCopy,
}

impl PrivateServer {
    /// Starts a server on the copy, and waits until it has recovered to consistency and accepts
    /// connections. At the deadline it is ended.
    pub fn start(
        backup: &Backup,
        copy: BaseCopy,
        deadline: Option<Instant>,
    ) -> Result<Self, RestoreError> {
        let program = Program::find("postgres")?;
        let copied = copy.data();
        base_wal::require_start(backup, &copied)?;
        base_wal::refuse_tablespaces(backup, &copied, deadline)?;
        let control = Control::read(&copied, deadline)?;
        let mut preloaded = loadable(&installation::preloaded_libraries());
        let process = loop {
            write_settings(&copy, &control, &preloaded)?;
            match recover(&program, backup, &copy, deadline) {
                // A library may refuse to be loaded here, and most databases do without.
                Err(RestoreError::NotRecovered { .. }) if !preloaded.is_empty() => {
                    preloaded.clear()
                }
                result => break result?,
            }
        };
        let bootstrap = pgrx::pg_sys::Oid::from(BOOTSTRAP_ROLE);
        Ok(Self {
            socket: socket_directory(&copied, process.id()),
            process,
            user: sec_context::role_name(bootstrap),
            system_identifier: control.system_identifier,
            copy,
        })
    }

    /// The directory of its socket, for clients.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The number of its socket.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The role to connect as: the bootstrap superuser, by its name on the source.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The number that initdb gave to the cluster, as text.
    pub fn system_identifier(&self) -> &str {
        &self.system_identifier
    }

    /// The verdict of pg_verifybackup on the copy.
    pub fn verification(&self) -> &Verification {
        self.copy.verification()
    }

    /// The folder of all its files, which its end removes.
    pub fn directory(&self) -> &Path {
        self.copy.directory()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_end().is_none()
    }
}

/// Facts of the copied cluster. Its recovery fails with lower limits.
struct Control {
    system_identifier: String,
    prepared_transactions: u32,
    locks: u32,
}

impl Control {
    fn read(data: &Path, deadline: Option<Instant>) -> Result<Self, RestoreError> {
        let program = Program::find("pg_controldata")?;
        let system_identifier = String::new();
        let mut control = Self { system_identifier, prepared_transactions: 0, locks: 64 };
        let launch = program.launch().args([data]).read_lines();
        let exit = program.run(launch, deadline, |line| {
            let line = String::from_utf8_lossy(line);
            let value = line.split_once(':').map(|(_, value)| value.trim()).unwrap_or_default();
            let number = value.parse().ok();
            if line.starts_with("Database system identifier") {
                control.system_identifier = value.to_owned();
            } else if line.starts_with("max_prepared_xacts setting") {
                control.prepared_transactions = number.unwrap_or(0);
            } else if line.starts_with("max_locks_per_xact setting") {
                control.locks = number.unwrap_or(64).max(64);
            }
            Ok(())
        })?;
        match exit.status {
            Status::Expired => return Err(RestoreError::OutOfTime),
            status if status.is_success() => return Ok(control),
            _ => {}
        }
        Err(RestoreError::Unreadable {
            path: data.join("global/pg_control"),
            reason: "pg_controldata fails".into(),
        })
    }
}

/// The path by which clients reach the socket: the data directory or, where that is too long for a
/// socket, the working directory of the server.
fn socket_directory(data: &Path, server: u32) -> PathBuf {
    let name = format!("/.s.PGSQL.{PORT}");
    if data.as_os_str().len() + name.len() <= LONGEST_SOCKET {
        data.to_owned()
    } else {
        PathBuf::from(format!("/proc/{server}/cwd"))
    }
}

/// The libraries of a list that exist on this machine.
fn loadable(list: &str) -> String {
    let exists = |name: &str| {
        let path = name.strip_prefix("$libdir/").unwrap_or(name);
        let path = match (path.starts_with('/'), installation::library_directory()) {
            (false, Some(directory)) => directory.join(path),
            _ => PathBuf::from(path),
        };
        path.exists() || path.with_extension("so").exists()
    };
    let names = list.split(',').map(|name| name.trim().trim_matches('"'));
    names.filter(|name| !name.is_empty() && exists(name)).collect::<Vec<_>>().join(",")
}

/// A value in a settings file.
fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Settings of the private server. Those of the backup are not read.
fn settings(copy: &Path, control: &Control, preloaded: &str) -> String {
    let path = |path: &Path| literal(&path.to_string_lossy());
    let mut text = format!(
        "listen_addresses = ''\nport = {PORT}\nunix_socket_directories = '.'\n\
         unix_socket_permissions = 0700\nhba_file = {}\nident_file = {}\n\
         shared_preload_libraries = {}\nmax_connections = 10\nsuperuser_reserved_connections = 0\n\
         max_prepared_transactions = {}\nmax_locks_per_transaction = {}\n\
         max_replication_slots = {ORIGINS}\n",
        path(&copy.join("pg_hba.conf")),
        path(&copy.join("pg_ident.conf")),
        literal(preloaded),
        control.prepared_transactions,
        control.locks,
    );
    // No worker of an extension, of a subscription or of a parallel query, and nothing outside.
    text += "max_worker_processes = 0\nmax_parallel_workers = 0\n\
        max_parallel_workers_per_gather = 0\nmax_parallel_maintenance_workers = 0\n\
        max_logical_replication_workers = 0\nmax_wal_senders = 0\narchive_mode = off\n\
        autovacuum = off\nssl = off\n";
    // The copy is thrown away after its use.
    text += "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n\
        shared_buffers = '16MB'\nhuge_pages = off\ndynamic_shared_memory_type = mmap\njit = off\n";
    // The log tells how the recovery ends, and no statements.
    text += "logging_collector = off\nlog_destination = 'stderr'\nlog_min_messages = log\n\
        log_min_error_statement = panic\nlog_statement = 'none'\nlc_messages = 'C'\n";
    if installation::MAJOR >= 17 {
        text += "event_triggers = off\n";
    }
    if installation::MAJOR >= 18 {
        text += &format!("io_method = 'sync'\nmax_active_replication_origins = {ORIGINS}\n");
    }
    text
}

fn write_settings(copy: &BaseCopy, control: &Control, preloaded: &str) -> Result<(), RestoreError> {
    let directory = copy.directory();
    for (name, text) in [
        ("postgresql.conf", settings(directory, control, preloaded)),
        // Only the server's OS user reaches the socket.
        ("pg_hba.conf", "local all all trust\n".into()),
        ("pg_ident.conf", String::new()),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| RestoreError::unwritable(&path, &error))?;
    }
    Ok(())
}

/// Starts the server and waits for the end of its recovery.
fn recover(
    program: &Program,
    backup: &Backup,
    copy: &BaseCopy,
    deadline: Option<Instant>,
) -> Result<Process, RestoreError> {
    let log = copy.directory().join("server.log");
    let file = File::create(&log).map_err(|error| RestoreError::unwritable(&log, &error))?;
    let mut settings = OsString::from("config_file=");
    settings.push(copy.directory().join("postgresql.conf"));
    let launch = program
        .launch()
        .args(["-D"])
        .args([copy.data()])
        .args(["-c"])
        .args([settings])
        .write_errors(file)
        .ending(Ending::Quit);
    let mut process = program.start(launch)?;
    loop {
        if let Some(status) = process.try_end() {
            let reason = reason(&log).unwrap_or_else(|| ended(status));
            return Err(failure(program, backup, copy, reason));
        }
        if is_ready(&copy.data()) {
            return Ok(process);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(RestoreError::OutOfTime);
        }
        process::pause(TICK);
    }
}

/// Messages of a server that lacks something of this machine. The backup may be sound.
const OF_MACHINE: [&str; 6] = [
    "could not create shared memory",
    "could not map anonymous shared memory",
    "could not create semaphores",
    "could not create any Unix-domain sockets",
    "could not fork",
    "out of memory",
];

fn failure(program: &Program, backup: &Backup, copy: &BaseCopy, reason: String) -> RestoreError {
    if OF_MACHINE.iter().any(|message| reason.contains(message)) {
        return RestoreError::NotRun { path: program.path().to_owned(), reason };
    }
    if reason.contains("No space left on device") {
        return RestoreError::NoRoom { directory: copy.directory().to_owned(), needed: 0, free: 0 };
    }
    RestoreError::NotRecovered { path: backup.path.clone(), reason }
}

fn ended(status: Status) -> String {
    match status {
        Status::Code(code) => format!("The private server ends with exit code {code}"),
        Status::Signal(signal) => format!("The private server is ended by signal {signal}"),
        Status::Expired => "The private server is ended at the deadline".into(),
    }
}

/// Whether the server accepts connections, by the last line of its file, as pg_ctl reads it.
fn is_ready(data: &Path) -> bool {
    let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    file.lines().nth(7).is_some_and(|status| status.trim() == "ready")
}

/// The last fatal message of a log. Messages of a recovery name files and places in the WAL.
fn reason(log: &Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let message = |line: &str| {
        let found = ["PANIC:  ", "FATAL:  "].iter().find_map(|mark| line.split_once(mark))?;
        Some(format!("The private server says: {}", found.1.trim()))
    };
    // The first one is the cause of those that follow.
    tail.lines().find_map(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_quotes_stay_one_value() {
        assert_eq!(literal("/tmp/it's \\ here"), "'/tmp/it''s \\\\ here'");
    }

    #[test]
    fn the_cause_of_a_failed_start_is_the_first_fatal_message() {
        let log = std::env::temp_dir().join(format!("crewsnow_log_{}", std::process::id()));
        let text = "2026 [1] LOG:  starting\n\
            2026 [2] FATAL:  WAL ends before end of online backup\n\
            2026 [2] HINT:  x\n2026 [1] FATAL:  later\n";
        std::fs::write(&log, text).expect("a log");
        let told = reason(&log);
        std::fs::remove_file(&log).expect("removed");
        assert_eq!(
            told.as_deref(),
            Some("The private server says: WAL ends before end of online backup")
        );
    }
}
