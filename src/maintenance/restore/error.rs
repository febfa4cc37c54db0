//! Errors of a restore test.

use super::deadline;
use super::verdict::{Finding, Level};
use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::xact::lock_holder::LockHolder;
use crate::pg::xact::sec_context;
use crate::readiness::error::ReadinessError;
use pgrx::PgSqlErrorCode;
use pgrx::spi::quote_identifier;
use std::path::{Path, PathBuf};

/// A restore test that cannot be made with this server or this backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// SQLSTATE 58P01
    #[error("program {name} is missing from {}", place(directory.as_deref()))]
    NoProgram {
        /// The name of the program.
        name: String,
        /// The directory of the server's own programs.
        directory: Option<PathBuf>,
    },
    /// SQLSTATE 55000
    #[error("{} is not of PostgreSQL {major}", path.display())]
    OtherProgram {
        /// The program.
        path: PathBuf,
        /// Its answer to `--version`.
        version: String,
        /// The server's major version.
        major: u32,
    },
    /// SQLSTATE 58000
    #[error("{} cannot be run", path.display())]
    NotRun {
        /// The program.
        path: PathBuf,
        /// The reason that the system or the program gives.
        reason: String,
    },
    /// SQLSTATE 42501: another user could have written a program or a backup that runs as the
    /// server
    #[error("another user can change {}", path.display())]
    Untrusted {
        /// The file or folder, or one that it lies in.
        path: PathBuf,
        /// Its owner or mode.
        reason: String,
        /// The command that mends it, as root.
        command: String,
    },
    /// SQLSTATE 22023
    #[error("the location of a backup must be an absolute path of this machine")]
    NotAPath(String),
    /// SQLSTATE 58P01
    #[error("backup {} does not exist", .0.display())]
    NoBackup(PathBuf),
    /// SQLSTATE 58030
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The reason that the system gives.
        reason: String,
    },
    /// SQLSTATE 22023
    #[error("{} is no backup", path.display())]
    NotABackup {
        /// The file or folder.
        path: PathBuf,
        /// The content as it was recognised.
        content: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is encrypted", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// The program that encrypted it.
        program: &'static str,
        /// A command that decrypts it.
        command: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is compressed", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// A command that decompresses it.
        command: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is of PostgreSQL {version}, and this server is {major}", path.display())]
    OtherMajor {
        /// The backup.
        path: PathBuf,
        /// The version of its server.
        version: String,
        /// The major version of this server.
        major: u32,
    },
    /// SQLSTATE XX001
    #[error("backup {} is truncated or damaged", path.display())]
    Truncated {
        /// The backup.
        path: PathBuf,
        /// The place of the damage.
        evidence: String,
    },
    /// SQLSTATE 42501: psql would leave the scratch database
    #[error("{} changes other databases than the restored one", path.display())]
    LeavesDatabase {
        /// The plain dump.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// The first word of the command.
        command: &'static str,
    },
    /// SQLSTATE 53100
    #[error("{} has no room for the restored backup", directory.display())]
    NoRoom {
        /// The directory.
        directory: PathBuf,
        /// Bytes that the restore needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// SQLSTATE XX001
    #[error("base backup {} cannot be recovered", path.display())]
    NotRecovered {
        /// The backup.
        path: PathBuf,
        /// The reason that the private server gives.
        reason: String,
    },
    /// SQLSTATE 0A000: the recovery would write into a tablespace of the source
    #[error("base backup {} was taken while a tablespace was created", .0.display())]
    CreatesTablespace(PathBuf),
    /// SQLSTATE 58030
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The reason that the system gives.
        reason: String,
    },
    /// SQLSTATE 25001
    #[error("a restore test cannot run in a transaction block")]
    InTransactionBlock,
    /// SQLSTATE 42501
    #[error("role \"{}\" may not run programs of the server", sec_context::current_user())]
    MayNotRunPrograms,
    /// SQLSTATE 42501
    #[error("role \"{}\" may not restore extensions", sec_context::current_user())]
    NeedsSuperuser,
    /// SQLSTATE 55006
    #[error("another session tests a backup of this database{}", by(holder.as_ref()))]
    Running {
        /// The session that tests; `None` if it is gone meanwhile.
        holder: Option<LockHolder>,
    },
    /// SQLSTATE 53000
    #[error("no background worker is free")]
    NoWorker,
    /// SQLSTATE 55000
    #[error("{0}")]
    WorkerFailed(String),
    /// SQLSTATE 55000: the scratch database cannot be made or dropped
    #[error("{message} ({sqlstate})")]
    Scratch {
        /// The SQLSTATE of the statement.
        sqlstate: String,
        /// Its message.
        message: String,
    },
    /// SQLSTATE 58000
    #[error("{program} failed: {message}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its message without quoted text.
        message: String,
    },
    /// SQLSTATE 58000
    #[error("a program cannot be read: {0}")]
    Program(String),
    /// SQLSTATE 57014: the report of the test says so
    #[error("the time of the restore test was over")]
    OutOfTime,
    /// SQLSTATE 22023
    #[error("crewsnow_ops.restore_connection must not contain a password")]
    PasswordInSetting,
    /// SQLSTATE 54000
    #[error("{} MB are too many to restore beside the source", megabytes(*bytes))]
    TooLarge {
        /// The size of the database or backup, in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An error of decisions, with its own SQLSTATE.
    #[error(transparent)]
    Readiness(#[from] ReadinessError),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn by(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(": process {}", holder.pid))
}

fn place(directory: Option<&Path>) -> String {
    directory.map_or_else(
        || "the server's directory".into(),
        |directory| directory.display().to_string(),
    )
}

/// A word of a shell command.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// Bytes as whole megabytes, rounded up.
fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

const NOTHING: &str = "Nothing was restored.";

impl SqlError for RestoreError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::NoProgram { .. } | Self::NoBackup(_) => Code::ERRCODE_UNDEFINED_FILE,
            Self::OtherProgram { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::NotRun { .. } => Code::ERRCODE_SYSTEM_ERROR,
            Self::Untrusted { .. } | Self::LeavesDatabase { .. } => {
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::Unreadable { .. } | Self::Unwritable { .. } => Code::ERRCODE_IO_ERROR,
            Self::NotAPath(_) | Self::NotABackup { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Encrypted { .. } | Self::Compressed { .. } | Self::OtherMajor { .. } => {
                Code::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            Self::CreatesTablespace(_) => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::Truncated { .. } | Self::NotRecovered { .. } => Code::ERRCODE_DATA_CORRUPTED,
            Self::OutOfTime => Code::ERRCODE_QUERY_CANCELED,
            Self::NoRoom { .. } => Code::ERRCODE_DISK_FULL,
            Self::InTransactionBlock => Code::ERRCODE_ACTIVE_SQL_TRANSACTION,
            Self::MayNotRunPrograms | Self::NeedsSuperuser => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::Running { .. } => Code::ERRCODE_OBJECT_IN_USE,
            Self::NoWorker => Code::ERRCODE_INSUFFICIENT_RESOURCES,
            Self::WorkerFailed(_) | Self::Scratch { .. } => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Self::Failed { .. } | Self::Program(_) => Code::ERRCODE_SYSTEM_ERROR,
            Self::PasswordInSetting => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::TooLarge { .. } => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Self::Readiness(error) => error.sqlstate(),
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NoProgram { .. } => format!("Programs are never taken from PATH. {NOTHING}"),
            Self::OtherProgram { version, .. } => format!("It answers: {version}. {NOTHING}"),
            Self::NotRun { reason, .. }
            | Self::Untrusted { reason, .. }
            | Self::Unreadable { reason, .. }
            | Self::NotRecovered { reason, .. }
            | Self::Unwritable { reason, .. } => format!("{reason}. {NOTHING}"),
            Self::NotAPath(location) => format!("It is \"{location}\". {NOTHING}"),
            Self::NoBackup(_) => format!("The server looks on its own machine. {NOTHING}"),
            Self::NotABackup { content, .. } => format!("It is {content}. {NOTHING}"),
            Self::Encrypted { program, .. } => {
                format!("It begins as a file of {program}. {NOTHING}")
            }
            Self::CreatesTablespace(_) => {
                format!("Its recovery would write into the tablespace of the source. {NOTHING}")
            }
            Self::Compressed { .. } | Self::OtherMajor { .. } => NOTHING.into(),
            Self::Truncated { evidence, .. } => format!("{evidence}. {NOTHING}"),
            Self::LeavesDatabase { line, command, .. } => {
                format!("Line {line} is a {command}, which may reach the source. {NOTHING}")
            }
            Self::NoRoom { needed: 0, .. } => format!("The disk is full. {NOTHING}"),
            Self::NoRoom { needed, free, .. } => format!(
                "It needs {} MB and has {} MB. {NOTHING}",
                megabytes(*needed),
                megabytes(*free)
            ),
            Self::InTransactionBlock => {
                format!("Changes of the block would be missing from a dump. {NOTHING}")
            }
            Self::MayNotRunPrograms => format!(
                "pg_dump and pg_restore run as the server's user of the operating system. {NOTHING}"
            ),
            Self::NeedsSuperuser => format!(
                "pg_restore makes extensions and roles' objects, so it connects as a superuser. \
                 {NOTHING}"
            ),
            Self::Running { holder } => {
                let age = holder.as_ref().and_then(|holder| holder.age);
                let age = age.map_or_else(String::new, |age| format!(" It began {age} s ago."));
                format!("One test at a time runs on a database.{age} {NOTHING}")
            }
            Self::NoWorker => format!("A test needs two slots of max_worker_processes. {NOTHING}"),
            Self::WorkerFailed(_) | Self::Program(_) => NOTHING.into(),
            Self::Scratch { .. } => {
                "The scratch database cannot be made or dropped. The source is unchanged.".into()
            }
            Self::Failed { .. } => {
                "The message is without quoted text, which may be rows. The source is unchanged."
                    .into()
            }
            Self::OutOfTime => {
                "crewsnow_ops.restore_budget limits it. The source is unchanged.".into()
            }
            Self::PasswordInSetting => {
                "Users of the machine could read it in the list of processes.".into()
            }
            Self::TooLarge { limit, .. } => {
                format!("crewsnow_ops.restore_max_size allows {} MB. {NOTHING}", megabytes(*limit))
            }
            Self::Readiness(error) => return error.detail(),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoProgram { .. } | Self::OtherProgram { .. } => {
                "SET crewsnow_ops.program_directory = '/usr/lib/postgresql/15/bin';".into()
            }
            Self::NotRun { path, .. } => format!("{} --version", quoted(path)),
            Self::Untrusted { command, .. } => command.clone(),
            Self::NotAPath(_) => {
                "SELECT test_backup_restore_procedure('/var/backups/shop.dump');".into()
            }
            Self::NoBackup(path)
            | Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. } => {
                format!("ls -ld {}", quoted(path))
            }
            Self::NotABackup { .. } | Self::Truncated { .. } => {
                "pg_dump --format=custom --file=/var/backups/shop.dump shop".into()
            }
            Self::Encrypted { command, .. } | Self::Compressed { command, .. } => command.clone(),
            Self::OtherMajor { .. } => "Restore it with a server of its own version.".into(),
            Self::NotRecovered { path, .. } => format!("pg_verifybackup {}", quoted(path)),
            Self::CreatesTablespace(_) => {
                "pg_basebackup --wal-method=stream --pgdata=/var/backups/base".into()
            }
            Self::LeavesDatabase { .. } => {
                "pg_dump --format=plain --file=/var/backups/shop.sql shop".into()
            }
            Self::NoRoom { .. } => "SET crewsnow_ops.restore_directory = '/mnt/restore';".into(),
            Self::InTransactionBlock => "COMMIT; SELECT test_backup_restore_procedure();".into(),
            Self::MayNotRunPrograms => format!(
                "GRANT pg_execute_server_program TO {};",
                quote_identifier(sec_context::current_user())
            ),
            Self::NeedsSuperuser => {
                "ALTER SYSTEM SET crewsnow_ops.restore_connection = 'user=postgres'; SELECT \
                 pg_reload_conf();"
                    .into()
            }
            Self::Running { .. } => "SELECT * FROM crewsnow_ops.maintenance_progress;".into(),
            Self::NoWorker => "SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type \
                NOT IN ('client backend', 'checkpointer');"
                .into(),
            Self::WorkerFailed(_) | Self::Scratch { .. } => {
                "SELECT rolname, rolsuper, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = \
                 current_user;"
                    .into()
            }
            Self::Failed { message, .. } if message.starts_with("out of shared memory") => {
                "ALTER SYSTEM SET max_locks_per_transaction = 256; -- takes effect at a restart"
                    .into()
            }
            Self::Failed { program, .. } => format!("{program} --help"),
            Self::Program(_) => "SHOW crewsnow_ops.program_directory;".into(),
            Self::OutOfTime => "SET crewsnow_ops.restore_budget = '3 hours';".into(),
            Self::PasswordInSetting => "SET crewsnow_ops.restore_connection = \
                'host=localhost passfile=/var/lib/postgresql/.pgpass';"
                .into(),
            Self::TooLarge { bytes, .. } => {
                format!("SET crewsnow_ops.restore_max_size = '{} MB';", megabytes(*bytes))
            }
            Self::Readiness(error) => return error.hint(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(RestoreError);
from_server_failures!(RestoreError);

impl RestoreError {
    /// Whether the backup is at fault, not this server or the call.
    pub fn is_of_backup(&self) -> bool {
        matches!(
            self,
            Self::NoBackup(_)
                | Self::Unreadable { .. }
                | Self::NotABackup { .. }
                | Self::Encrypted { .. }
                | Self::Compressed { .. }
                | Self::OtherMajor { .. }
                | Self::Truncated { .. }
                | Self::Untrusted { .. }
                | Self::LeavesDatabase { .. }
                | Self::NotRecovered { .. }
                | Self::CreatesTablespace(_)
        )
    }

    /// Whether nothing is where the caller says.
    pub fn is_of_location(&self) -> bool {
        matches!(self, Self::NoBackup(_))
    }

    /// The error as a finding of a report.
    pub fn finding(&self, level: Level) -> Finding {
        let detail = self.detail().unwrap_or_default();
        let detail = detail.trim_end_matches(NOTHING).trim().trim_end_matches('.');
        let colon = if detail.is_empty() { "" } else { ": " };
        let finding = Finding::new(level, format!("{self}{colon}{detail}"));
        match self.hint() {
            Some(hint) => finding.with_command(hint),
            None => finding,
        }
    }

    /// A file or folder that the system refuses to read, or the end of the test's time.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        if deadline::is_over(error) {
            return Self::OutOfTime;
        }
        Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
    }

    /// A file or folder that the system refuses to write, or the end of the test's time; 53100 if
    /// its disk is full.
    pub fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        if deadline::is_over(error) {
            return Self::OutOfTime;
        }
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::NoRoom { directory: path.to_owned(), needed: 0, free: 0 };
        }
        Self::Unwritable { path: path.to_owned(), reason: error.to_string() }
    }
}
