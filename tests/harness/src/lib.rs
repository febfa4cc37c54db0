//! PostgreSQL servers for the suites, each deleted before its next use. Suites connect with psql
//! and in sessions of their own.
//!
//! `dev/test.sh` sets `CREWSNOW_PG_BIN` (PostgreSQL with the extension installed), `CREWSNOW_STATE`
//! (directory for servers) and `CREWSNOW_SERVER_USER` (runs the servers if the suites run as root).

pub mod past;
pub mod random;
pub mod staleness;

use postgres::{Client, NoTls};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The number of the Unix socket of a server without a TCP port.
const SOCKET_PORT: u16 = 5432;
/// SQL with the schema `truth`: functions that tell which rows a real session reaches.
pub const REACH: &str = include_str!("reach.sql");

/// The project's root directory. `dev/prove.sh` sets `CREWSNOW_ROOT` to that of the parent commit.
pub fn root() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = std::env::var_os("CREWSNOW_ROOT").map_or_else(here, PathBuf::from);
    root.canonicalize().expect("the project's root exists")
}

/// Whether this run rewrites the expected answers (`UPDATE_DOCS=1`, `UPDATE_EXPECTED=1`) instead of
/// comparing them. CI must compare, so a run with `CI` set refuses to rewrite.
pub fn rewrites(variable: &str) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    assert!(
        !(is_set(variable) && is_set("CI")),
        "{variable} is for a developer's machine, not for CI"
    );
    is_set(variable)
}

/// The scripts to run, if `CREWSNOW_SCRIPTS` names some, separated by spaces.
pub fn named_scripts() -> Option<Vec<String>> {
    let names = std::env::var("CREWSNOW_SCRIPTS").ok().filter(|names| !names.is_empty())?;
    Some(names.split(' ').map(str::to_owned).collect())
}

fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the suites with make test"))
}

/// Settings for every server of a run, from `CREWSNOW_SERVER_SETTINGS`, separated by semicolons.
fn server_settings() -> String {
    std::env::var("CREWSNOW_SERVER_SETTINGS").unwrap_or_default().replace(';', "\n")
}

/// A program of the PostgreSQL under test.
pub fn program(name: &str) -> PathBuf {
    Path::new(&setting("CREWSNOW_PG_BIN")).join(name)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.starts_with(b"0\n")
}

/// A command that runs as the server's user.
pub fn server_command(name: &str) -> Command {
    as_server_user(&program(name))
}

fn as_server_user(program_path: &Path) -> Command {
    let mut command = if is_root() {
        let user = setting("CREWSNOW_SERVER_USER");
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--init-groups"]).arg(program_path);
        command
    } else {
        Command::new(program_path)
    };
    // A server started by hand may have RUST_BACKTRACE set. Clients must see no back-trace even
    // then.
    command.current_dir("/").env("RUST_BACKTRACE", "1");
    command
}

/// Runs a command that must succeed. Returns its standard output.
pub fn must_run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error, then standard output of a command.
pub fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    )
}

/// A server with an empty cluster that listens on a Unix socket only, unless it was started on the
/// loopback interface. Dropping it stops it and removes its files: those of all suites would be
/// 33 GB. The files of a failed test stay, and all of them with `CREWSNOW_KEEP` in the environment.
pub struct Cluster {
    directory: PathBuf,
    running: bool,
    /// Number of the Unix socket, and the TCP port of a server on the loopback interface.
    port: u16,
    /// Whether the server's clock is [`Cluster::set_clock`]'s.
    has_clock: bool,
}

/// The library that gives a server another clock. libfaketime opens files in signal handlers, and a
/// server reads the clock there.
const CLOCK: &str = include_str!("clock.c");

/// A TCP port of the loopback interface that nothing uses.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Cluster {
    /// Starts a server with an empty cluster. `settings` is text for postgresql.conf.
    pub fn start(name: &str, settings: &str) -> Self {
        Self::start_on_port(name, settings, SOCKET_PORT)
    }

    /// Starts a server with an empty cluster that listens on 127.0.0.1, too.
    pub fn start_on_loopback(name: &str, settings: &str) -> Self {
        let settings = format!("{settings}\nlisten_addresses = '127.0.0.1'");
        Self::start_on_port(name, &settings, free_port())
    }

    /// Starts a server with an empty cluster whose clock [`Cluster::set_clock`] moves.
    pub fn start_with_clock(name: &str, settings: &str) -> Self {
        let mut cluster = Self::directory(name);
        cluster.has_clock = true;
        cluster.set_clock(0);
        let source = cluster.directory.join("clock.c");
        std::fs::write(&source, CLOCK).expect("the source of the clock");
        let build = ["-shared", "-fPIC", "-O1", "-o"];
        must_run(Command::new("cc").args(build).arg(cluster.clock_library()).arg(&source));
        cluster.initialise();
        cluster.launch(settings)
    }

    /// Sets the server's clock to so many seconds after the real time.
    pub fn set_clock(&self, seconds: i64) {
        // In place: the server has mapped the file.
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create(true).truncate(false).open(self.clock());
        let mut file = file.expect("the file of the clock");
        std::io::Write::write_all(&mut file, &seconds.to_ne_bytes()).expect("the clock is set");
    }

    fn clock(&self) -> PathBuf {
        self.directory.join("clock")
    }

    fn clock_library(&self) -> PathBuf {
        self.directory.join("clock.so")
    }

    fn start_on_port(name: &str, settings: &str, port: u16) -> Self {
        let mut cluster = Self::directory(name);
        cluster.port = port;
        cluster.initialise();
        cluster.launch(settings)
    }

    fn initialise(&self) {
        must_run(
            server_command("initdb")
                .args([
                    "-U",
                    "postgres",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale",
                    "C.UTF-8",
                    "--no-sync",
                    "-D",
                ])
                .arg(self.data()),
        );
    }

    /// Starts a physical standby of `primary`.
    pub fn standby(name: &str, primary: &Self) -> Self {
        let cluster = Self::directory(name);
        must_run(
            server_command("pg_basebackup")
                .args(["-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
                .arg(cluster.data())
                .args(["-p", &primary.port.to_string(), "-h"])
                .arg(primary.socket()),
        );
        cluster.launch("")
    }

    /// Starts a server on a copy of the files of `original`, which must be stopped: also with its
    /// cumulative statistics.
    pub fn copy(name: &str, original: &Self, settings: &str) -> Self {
        Self::recover(name, &original.data(), settings)
    }

    /// Starts a server on a copy of this data directory or base backup.
    pub fn recover(name: &str, files: &Path, settings: &str) -> Self {
        let cluster = Self::directory(name);
        must_run(Command::new("cp").arg("-a").arg(files.join(".")).arg(cluster.data()));
        cluster.launch(settings)
    }

    fn directory(name: &str) -> Self {
        let directory = Path::new(&setting("CREWSNOW_STATE")).join(name);
        let old = Self {
            directory: directory.clone(),
            running: directory.join("data/postmaster.pid").exists(),
            port: SOCKET_PORT,
            has_clock: false,
        };
        drop(old);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(directory.join("data")).expect("a directory for the cluster");
        std::fs::create_dir_all(directory.join("socket")).expect("a directory for the socket");
        if is_root() {
            must_run(
                Command::new("chown")
                    .args(["-R", &setting("CREWSNOW_SERVER_USER")])
                    .arg(&directory),
            );
        }
        must_run(Command::new("chmod").arg("700").arg(directory.join("data")));
        Self { directory, running: false, port: SOCKET_PORT, has_clock: false }
    }

    fn launch(mut self, settings: &str) -> Self {
        let socket = self.socket();
        let defaults = format!(
            "\nport = {}\nlisten_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\n\
             max_connections = 60\nwal_level = logical\nlc_messages = 'C'\n\
             hot_standby_feedback = on\n{}\n{settings}\n",
            self.port,
            socket.display(),
            server_settings()
        );
        let file = self.data().join("postgresql.conf");
        let before = std::fs::read_to_string(&file).expect("postgresql.conf");
        std::fs::write(&file, before + &defaults).expect("postgresql.conf is written");
        self.boot();
        self
    }

    /// Starts the server again, after `stop`.
    pub fn boot(&mut self) {
        let mut start = if self.has_clock {
            let mut command = as_server_user(Path::new("/usr/bin/env"));
            command
                .arg(format!("LD_PRELOAD={}", self.clock_library().display()))
                .arg(format!("CREWSNOW_CLOCK={}", self.clock().display()))
                .arg(program("pg_ctl"));
            command
        } else {
            server_command("pg_ctl")
        };
        // The server logs to a file. With an inherited pipe, the caller of pg_ctl would never end.
        must_run(
            start
                .arg("-D")
                .arg(self.data())
                .arg("-l")
                .arg(self.data().join("server.log"))
                .args(["-w", "start"]),
        );
        self.running = true;
    }

    /// Stops the server: `fast`, or `immediate` as in a crash.
    pub fn stop(&mut self, mode: &str) {
        must_run(
            server_command("pg_ctl").arg("-D").arg(self.data()).args(["-m", mode, "-w", "stop"]),
        );
        self.running = false;
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of the Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// The TCP port of a server on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A directory that both the server and the suites can write to.
    pub fn scratch(&self) -> PathBuf {
        self.directory.clone()
    }

    /// A session as the superuser.
    pub fn connect(&self, database: &str) -> Client {
        self.connect_as("postgres", database)
    }

    /// A session as the superuser; `None` while the server accepts none, as after a crash.
    pub fn try_connect(&self, database: &str) -> Option<Client> {
        let mut config = postgres::Config::new();
        config.host_path(self.socket()).port(self.port).user("postgres").dbname(database);
        let mut client = config.connect(NoTls).ok()?;
        client.simple_query("SELECT 1").is_ok().then_some(client)
    }

    /// A session as `user`.
    pub fn connect_as(&self, user: &str, database: &str) -> Client {
        postgres::Config::new()
            .host_path(self.socket())
            .port(self.port)
            .user(user)
            .dbname(database)
            .application_name("suite")
            .connect(NoTls)
            .unwrap_or_else(|e| panic!("cannot connect to {database} as {user}: {e}"))
    }

    /// A new database with the extension, and a session in it.
    pub fn create_database(&self, name: &str) -> Client {
        self.create_empty_database(name);
        let mut client = self.connect(name);
        run(&mut client, "CREATE EXTENSION crewsnow_ops");
        accept_old_release(&mut client);
        client
    }

    /// A new database, without the extension.
    pub fn create_empty_database(&self, name: &str) {
        run(&mut self.connect("postgres"), &format!("CREATE DATABASE {name}"));
    }

    /// A new database with the demo application, and a session in it. `leaks` adds demo/leaks.sql.
    pub fn create_demo(&self, name: &str, leaks: bool) -> Client {
        self.create_empty_database(name);
        let mut load = self.client_program(root().join("dev/load_demo.sh"), name);
        must_run(load.args(leaks.then_some("leaks")).stdin(std::process::Stdio::null()));
        let mut client = self.connect(name);
        accept_old_release(&mut client);
        client
    }

    /// A client program whose environment connects it to `database`.
    pub fn client_program(
        &self,
        program_path: impl AsRef<std::ffi::OsStr>,
        database: &str,
    ) -> Command {
        let mut command = Command::new(program_path);
        let path =
            format!("{}:{}", setting("CREWSNOW_PG_BIN"), std::env::var("PATH").unwrap_or_default());
        command
            .env("PATH", path)
            .env("PGHOST", self.socket())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PSQLRC", "/dev/null")
            .env_remove("PGOPTIONS");
        command
    }

    /// psql, connected to `database`.
    pub fn psql(&self, database: &str) -> Command {
        self.client_program(program("psql"), database)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running {
            let _ = server_command("pg_ctl")
                .arg("-D")
                .arg(self.data())
                .args(["-m", "immediate", "-w", "stop"])
                .output();
        }
        if !std::thread::panicking() && std::env::var_os("CREWSNOW_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// The test servers of majors other than 15 are old releases with known CVEs, which the audit
/// reports. Suites accept those findings.
fn accept_old_release(client: &mut Client) {
    if value(client, "SELECT current_setting('server_version_num')::integer / 10000 = 15") == "f" {
        let accept = "SELECT crewsnow_ops.accept_finding(finding, 'a server for tests',
                now() + interval '1 day')
            FROM crewsnow_ops.audit_rls() WHERE rule = 'server-cve'";
        run(client, accept);
        run(
            client,
            "SELECT crewsnow_ops.record_rls_audit()
             WHERE EXISTS (SELECT FROM crewsnow_ops.rls_runs)",
        );
    }
}

/// Runs SQL that must succeed.
pub fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {}", explain(&e)));
}

/// The value of a query that returns one row, as text. NULL is the empty string.
pub fn value(client: &mut Client, sql: &str) -> String {
    let messages = client.simple_query(sql).unwrap_or_else(|e| panic!("{sql}: {}", explain(&e)));
    let rows: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), 1, "{sql}: one row");
    rows[0].get(0).unwrap_or_default().to_owned()
}

/// All rows of a query as text, columns joined by `|`.
pub fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).unwrap_or_else(|e| panic!("{sql}: {}", explain(&e)));
    messages
        .iter()
        .filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => Some(
                (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|"),
            ),
            _ => None,
        })
        .collect()
}

/// The SQLSTATE of SQL that must fail.
pub fn sqlstate(client: &mut Client, sql: &str) -> String {
    match client.batch_execute(sql) {
        Ok(()) => panic!("{sql}: should have failed"),
        Err(e) => {
            e.code().map(|code| code.code().to_owned()).unwrap_or_else(|| panic!("{sql}: {e}"))
        }
    }
}

/// An error with its SQLSTATE, message, DETAIL and HINT.
pub fn explain(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |e| format!("{} {} {:?} {:?}", e.code().code(), e.message(), e.detail(), e.hint()),
    )
}

/// The setting that preloads pg_stat_statements; `None` where the test server has no contrib.
pub fn preload_statements() -> Option<&'static str> {
    let directory = must_run(Command::new(program("pg_config")).arg("--pkglibdir"));
    let library = Path::new(directory.trim()).join("pg_stat_statements.so");
    if library.exists() {
        return Some("shared_preload_libraries = 'pg_stat_statements'");
    }
    eprintln!("left out: this server has no pg_stat_statements");
    None
}

/// Whether the server can create an extension. Test servers of other majors have no contrib.
pub fn has_extension(client: &mut Client, name: &str) -> bool {
    let sql = format!("SELECT count(*) FROM pg_available_extensions WHERE name = '{name}'");
    value(client, &sql) == "1"
}

/// Whether a flag is on, without a user.
pub fn is_on(client: &mut Client, flag: &str) -> bool {
    client
        .query_one("SELECT is_feature_enabled_for_user($1)", &[&flag])
        .unwrap_or_else(|e| panic!("evaluation of {flag}: {}", explain(&e)))
        .get(0)
}
