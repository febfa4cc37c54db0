//! PostgreSQL's programs of the server's own version. PATH is never searched.

use super::error::RestoreError;
use super::ownership;
use crate::pg::backend_local::BackendLocal;
use crate::pg::installation;
use crate::pg::process::{Exit, Launch, Process, ProcessError};
use crate::settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Programs of the server's version that this session has found, each with its last change.
static KNOWN: BackendLocal<BTreeMap<PathBuf, Option<SystemTime>>> =
    BackendLocal::new(BTreeMap::new());

/// A program whose version is that of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Finds a program, such as `pg_dump`, beside the server's own or in the directory of
    /// `crewsnow_ops.program_directory`, and asks it for its version.
    pub fn find(name: &str) -> Result<Self, RestoreError> {
        let own = installation::program_directory();
        let chosen = settings::program_directory().map(PathBuf::from);
        let candidates = chosen.iter().chain(&own).map(|directory| directory.join(name));
        let Some(path) = candidates.into_iter().find(|path| path.is_file()) else {
            return Err(RestoreError::NoProgram { name: name.into(), directory: chosen.or(own) });
        };
        ownership::require_safe(&path)?;
        let program = Self { path };
        // An upgrade replaces the file.
        let changed = program.path.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_known = KNOWN.with(|known| known.get(&program.path).copied() == Some(changed));
        if changed.is_none() || is_known != Some(true) {
            program.require_major()?;
            KNOWN.with(|known| known.insert(program.path.clone(), changed));
        }
        Ok(program)
    }

    /// A program of the operating system, such as tar. Its version does not matter.
    pub fn of_system(name: &str) -> Result<Self, RestoreError> {
        let directories = ["/usr/bin", "/bin"];
        let path = directories.iter().map(|directory| Path::new(directory).join(name));
        let path = path.into_iter().find(|path| path.is_file());
        path.map(|path| Self { path }).ok_or_else(|| RestoreError::NoProgram {
            name: name.into(),
            directory: Some(PathBuf::from(directories[0])),
        })
    }

    /// The program's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A launch of the program, to be completed and passed to [`Self::run`].
    pub fn launch(&self) -> Launch {
        Launch::new(&self.path)
    }

    /// Starts the program.
    pub fn start(&self, launch: Launch) -> Result<Process, RestoreError> {
        Process::start(launch).map_err(|error| self.not_run(&error.into()))
    }

    /// Runs the program to its end, and passes each line of its standard output to `on_line` if the
    /// launch reads lines.
    pub fn run(
        &self,
        launch: Launch,
        deadline: Option<Instant>,
        mut on_line: impl FnMut(&[u8]) -> Result<(), RestoreError>,
    ) -> Result<Exit, RestoreError> {
        let mut process = self.start(launch)?;
        let result = process.wait(deadline, |line| on_line(line).map_err(Stop::Callback));
        result.map_err(|stop| match stop {
            Stop::Callback(error) => error,
            Stop::Process(error) => self.not_run(&error),
        })
    }

    fn not_run(&self, error: &ProcessError) -> RestoreError {
        RestoreError::NotRun { path: self.path.clone(), reason: error.to_string() }
    }

    fn require_major(&self) -> Result<(), RestoreError> {
        let mut answer = String::new();
        let launch = self.launch().args(["--version"]).read_lines();
        let exit = self.run(launch, Some(Instant::now() + PATIENCE), |line| {
            if answer.is_empty() {
                answer = String::from_utf8_lossy(line).into_owned();
            }
            Ok(())
        })?;
        if !exit.status.is_success() {
            let reason = String::from_utf8_lossy(&exit.errors).trim().to_owned();
            let reason =
                if reason.is_empty() { "It fails without a message".into() } else { reason };
            return Err(RestoreError::NotRun { path: self.path.clone(), reason });
        }
        let major = installation::MAJOR;
        if answer.split(") ").nth(1).and_then(major_of) == Some(major) {
            return Ok(());
        }
        Err(RestoreError::OtherProgram { path: self.path.clone(), version: answer, major })
    }
}

/// An end of a wait before the end of the program.
enum Stop {
    Callback(RestoreError),
    Process(ProcessError),
}

impl From<ProcessError> for Stop {
    fn from(error: ProcessError) -> Self {
        Self::Process(error)
    }
}

/// The major version at the beginning of a text such as `15.8 (Debian)` or `18beta1`.
pub fn major_of(version: &str) -> Option<u32> {
    let digits = version.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major_of("15.8 (Debian 15.8-1.pgdg120+1)"), Some(15));
        assert_eq!(major_of(" 18beta1"), Some(18));
        assert_eq!(major_of("19devel"), Some(19));
        assert_eq!(major_of("9.6.24"), Some(9));
        assert_eq!(major_of(""), None);
        assert_eq!(major_of("of none"), None);
    }
}
