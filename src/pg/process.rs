//! Child processes of a backend, such as pg_dump. No shell is between, and they end with it:
//!
//! - an ERROR, a cancel among them, drops [`Process`], and the drop kills its process group;
//! - FATAL, as by `pg_terminate_backend`, runs [`at_exit`];
//! - where the backend itself is killed, the kernel sends the child its death signal.

use super::at_exit::{self, Registration};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{self as os, Pid, Signal, WaitId, WaitIdOptions};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a wait looks at interrupts and its deadline.
const TICK: Duration = Duration::from_millis(100);
/// How often a wait looks for the end of a child that has closed its output.
const SHORT_TICK: Duration = Duration::from_millis(5);
/// Bytes of standard error that are kept: the last ones.
const KEPT_ERRORS: usize = 16 * 1024;
/// Longest line of standard output, in bytes: memory holds one line.
const LONGEST_LINE: usize = 16 * 1024 * 1024;
/// How long a gentle end may take before the group is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that cannot be started or read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The system refused a call.
    #[error(transparent)]
    System(#[from] io::Error),
    /// A line of standard output exceeds 16 MB.
    #[error("a line of its output exceeds 16 MB")]
    LongLine,
}

/// The end that a drop, or the end of the backend, brings to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL: for programs that leave nothing behind.
    Kill,
    /// SIGQUIT, and SIGKILL 10 s later: a server removes its shared memory.
    Quit,
}

impl Ending {
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Quit => Signal::QUIT,
        }
    }
}

/// A program to start. The child gets PATH, LC_ALL=C, HOME and LD_LIBRARY_PATH, and no other
/// variable of this backend. Its standard input is empty.
pub struct Launch {
    command: Command,
    ending: Ending,
}

impl Launch {
    /// A program by its absolute path. Its standard output is discarded, and the end of its
    /// standard error is kept.
    pub fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
        // Libraries that the server itself was started with, the programs need, too.
        for name in ["HOME", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self { command, ending: Ending::Kill }
    }

    /// Appends arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Passes lines of standard output to the callback of [`Process::wait`].
    pub fn read_lines(mut self) -> Self {
        self.command.stdout(Stdio::piped());
        self
    }

    /// Writes standard output to a file.
    pub fn write_output(mut self, file: File) -> Self {
        self.command.stdout(file);
        self
    }

    /// Writes standard error to a file instead of keeping its end: for a child that runs while
    /// nobody waits for it.
    pub fn write_errors(mut self, file: File) -> Self {
        self.command.stderr(file);
        self
    }

    /// Sets the way in which a drop ends the child.
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// The way in which a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its exit code.
    Code(i32),
    /// The signal that ended it.
    Signal(i32),
    /// It was killed at the deadline.
    Expired,
}

impl Status {
    /// Whether the child ended with exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// The end of a child.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The way in which it ended.
    pub status: Status,
    /// The last 16 KB of its standard error. It may quote rows of others.
    pub errors: Vec<u8>,
}

/// A running child. Dropped, it ends with its process group, and the drop waits for that.
pub struct Process {
    child: Child,
    ending: Ending,
    /// Set once the child is reaped: its process id may belong to another one then.
    status: Option<Status>,
    _at_exit: Option<Registration>,
}

impl Process {
    /// Starts the program. It ends with this backend at the latest.
    pub fn start(launch: Launch) -> io::Result<Self> {
        let mut process = Self::spawn(launch)?;
        let (group, ending) = (process.group(), process.ending);
        process._at_exit = Some(at_exit::register(move || end_group(group, ending)));
        Ok(process)
    }

    fn spawn(launch: Launch) -> io::Result<Self> {
        let Launch { mut command, ending } = launch;
        // Files of the backend, such as its client's connection, are open without close-on-exec.
        let open: Vec<RawFd> = std::fs::read_dir("/dev/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|number| *number > 2)
            .collect();
        let parent = os::getpid();
        // Signals for the group of the backend, such as that of a cancel, must not reach the child.
        command.process_group(0);
        let prepare = move || {
            os::set_parent_process_death_signal(Some(ending.signal()))?;
            if os::getppid() != Some(parent) {
                return Err(io::Error::from(Errno::CHILD));
            }
            for number in &open {
                // SAFETY: a number that is no longer open is refused, and nothing else happens.
                let file = unsafe { BorrowedFd::borrow_raw(*number) };
                let _ = fcntl_setfd(file, FdFlags::CLOEXEC);
            }
            Ok(())
        };
        // SAFETY: between fork and exec there are system calls only. Rust's library has emptied the
        // signal mask before.
        let child = unsafe { command.pre_exec(prepare) }.spawn()?;
        Ok(Self { child, ending, status: None, _at_exit: None })
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of the child and passes each line of its standard output to `on_line`,
    /// without its newline. Reacts to interrupts within 100 ms. At the deadline, and if `on_line`
    /// fails, the child is killed.
    pub fn wait<E: From<ProcessError>>(
        &mut self,
        deadline: Option<Instant>,
        on_line: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Exit, E> {
        self.wait_with(deadline, on_line, react)
    }

    fn wait_with<E: From<ProcessError>>(
        &mut self,
        deadline: Option<Instant>,
        mut on_line: impl FnMut(&[u8]) -> Result<(), E>,
        mut react: impl FnMut(),
    ) -> Result<Exit, E> {
        let mut output = self.child.stdout.take();
        let mut errors = self.child.stderr.take();
        let mut lines = Lines::default();
        let mut tail = Tail::default();
        let mut buffer = vec![0; 64 * 1024];
        let status = loop {
            let (readable_output, readable_errors) = wait_for_data(&output, &errors);
            if readable_output {
                match read(&mut output, &mut buffer) {
                    Some(data) => lines.push(data, &mut on_line)?,
                    None => output = None,
                }
            }
            if readable_errors {
                match read(&mut errors, &mut buffer) {
                    Some(data) => tail.push(data),
                    None => errors = None,
                }
            }
            react();
            // Data that the child wrote before its end are still in the pipes.
            let is_idle = !readable_output && !readable_errors;
            if let Some(status) = is_idle.then(|| self.try_end()).flatten() {
                break status;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.kill();
                break Status::Expired;
            }
        };
        lines.end(&mut on_line)?;
        Ok(Exit { status, errors: tail.0 })
    }

    /// The way in which the child ended; `None` while it runs.
    pub fn try_end(&mut self) -> Option<Status> {
        if self.status.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if matches!(os::waitid(WaitId::Pid(self.group()), options), Ok(None)) {
                return None;
            }
            self.kill();
        }
        self.status
    }

    /// Sends SIGINT, as a fast shutdown of a server, and waits at most so long. `None` if it still
    /// runs.
    pub fn interrupt(&mut self, limit: Duration) -> Option<Status> {
        if self.status.is_none() {
            let _ = os::kill_process(self.group(), Signal::INT);
        }
        self.has_ended_within(limit);
        self.status
    }

    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.try_end().is_none() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(SHORT_TICK);
        }
        true
    }

    /// Kills what is left of the process group, and reaps the child. Until then its process id
    /// cannot be that of another process.
    fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = os::kill_process_group(self.group(), Signal::KILL);
        self.status = Some(self.child.wait().map_or(Status::Signal(0), |status| {
            match (status.code(), status.signal()) {
                (Some(code), _) => Status::Code(code),
                (None, signal) => Status::Signal(signal.unwrap_or_default()),
            }
        }));
        self._at_exit = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ending == Ending::Quit && self.status.is_none() {
            let _ = os::kill_process(self.group(), Signal::QUIT);
            self.has_ended_within(PATIENCE);
        }
        self.kill();
    }
}

/// Ends a process group at the end of the backend, which then cannot reap it any more.
fn end_group(group: Pid, ending: Ending) {
    if ending == Ending::Quit {
        let _ = os::kill_process(group, Signal::QUIT);
        let end = Instant::now() + PATIENCE;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while matches!(os::waitid(WaitId::Pid(group), options), Ok(None)) && Instant::now() < end {
            std::thread::sleep(SHORT_TICK);
        }
    }
    let _ = os::kill_process_group(group, Signal::KILL);
}

/// Reacts to interrupts: for loops that neither wait for a child nor use the server.
pub fn react() {
    pause(Duration::ZERO);
}

/// Waits at most so long, and reacts to interrupts.
pub fn pause(limit: Duration) {
    super::worker::wait_for_latch(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
}

/// Waits until a pipe has data or is closed, at most one tick. Signals end the wait early.
fn wait_for_data(output: &Option<ChildStdout>, errors: &Option<ChildStderr>) -> (bool, bool) {
    let mut files = Vec::with_capacity(2);
    files.extend(output.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    files.extend(errors.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let tick = if files.is_empty() { SHORT_TICK } else { TICK };
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(tick.subsec_nanos()) };
    if poll(&mut files, Some(&limit)).is_err() {
        return (false, false);
    }
    let mut ready = files.iter().map(|file| !file.revents().is_empty());
    let output = output.is_some() && ready.next() == Some(true);
    (output, errors.is_some() && ready.next() == Some(true))
}

/// The data that a pipe has now; `None` at its end.
fn read<'a>(pipe: &mut Option<impl Read>, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    match pipe.as_mut()?.read(buffer) {
        Ok(0) => None,
        Ok(length) => Some(&buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(&[]),
        Err(_) => None,
    }
}

/// The end of standard error.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        let surplus = self.0.len().saturating_sub(KEPT_ERRORS);
        self.0.drain(..surplus);
    }
}

/// The line that is not complete yet.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push<E: From<ProcessError>>(
        &mut self,
        data: &[u8],
        on_line: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = data;
        while let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(length);
            if self.0.is_empty() {
                on_line(line)?;
            } else {
                self.0.extend_from_slice(line);
                on_line(&self.0)?;
                self.0.clear();
            }
            rest = &after[1..];
        }
        if self.0.len() + rest.len() > LONGEST_LINE {
            return Err(ProcessError::LongLine.into());
        }
        self.0.extend_from_slice(rest);
        Ok(())
    }

    fn end<E>(&mut self, on_line: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let last = std::mem::take(&mut self.0);
        if last.is_empty() { Ok(()) } else { on_line(&last) }
    }
}

#[cfg(test)]
mod tests;
