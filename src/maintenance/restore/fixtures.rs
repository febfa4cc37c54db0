//! Folders and client programs of the in-server tests.

use super::programs::Program;
use crate::pg::process::{Exit, Launch};
use pgrx::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

pub fn run(sql: &str) {
    Spi::run(sql).expect(sql);
}

pub fn text(sql: &str) -> String {
    Spi::get_one::<String>(sql).expect(sql).expect("not NULL")
}

/// A folder of this test alone, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new folder under /tmp.
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/crewsnow_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).expect("its mode");
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A launch of a client program of the server that connects to this database.
pub fn client(name: &str) -> (Program, Launch) {
    let program = Program::find(name).expect(name);
    let sockets = text("SELECT current_setting('unix_socket_directories')");
    let host = sockets.split(',').next().unwrap_or_default().trim().to_owned();
    let launch = program
        .launch()
        .env("PGHOST", host)
        .env("PGPORT", text("SELECT current_setting('port')"))
        .env("PGUSER", text("SELECT current_user::text"))
        .env("PGDATABASE", text("SELECT current_database()::text"));
    (program, launch)
}

fn finish(name: &str, arguments: &[&str]) -> Exit {
    let (program, launch) = client(name);
    program.run(launch.args(arguments), None, |_| Ok(())).expect(name)
}

pub fn succeed(name: &str, arguments: &[&str]) {
    let exit = finish(name, arguments);
    assert!(exit.status.is_success(), "{}", String::from_utf8_lossy(&exit.errors));
}

/// Whether a process has these arguments.
pub fn runs(arguments: &str) -> bool {
    let wanted = arguments.replace(' ', "\0");
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes.filter_map(Result::ok).any(|process| {
        std::fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| line.starts_with(wanted.as_bytes()))
    })
}

pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_true() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
