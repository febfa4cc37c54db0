//! A server with an application: its sessions, the view that the on-call engineer takes, and psql
//! for the command that the view gives.

use harness::{Cluster, both, explain, run, value};
use postgres::{Client, SimpleQueryMessage};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Settings of every server here. The harness turns fsync off, which the reports mention, and the
/// disk of the machine may be full. The limit for temporary files is lowered: a gigabyte of them
/// would take a minute.
const SETTINGS: &str = "fsync = on\ndeadlock_timeout = '1s'\n\
    crewsnow_ops.health_limits = 'disk_space.warning = 99.8, disk_space.critical = 99.9, \
    temp_files.session = 64'";

/// Roles of the application and of the engineer, as docs/on-call.md asks for them.
const ROLES: &str = "CREATE ROLE shop LOGIN; CREATE ROLE backup LOGIN IN ROLE pg_read_all_data; \
    CREATE ROLE oncall LOGIN IN ROLE pg_monitor";

/// A server for one group of incidents.
pub struct Stage {
    pub cluster: Cluster,
    /// The database of the current incident.
    pub database: String,
    /// A superuser's session there.
    pub admin: Client,
    /// The engineer's session there.
    pub oncall: Client,
    /// How often the engineer looks: more than once where a state comes and goes by the second.
    pub looks: usize,
}

/// An idle session of the application.
pub struct Session {
    pub client: Client,
    pub pid: String,
}

/// A session that runs a statement in the background.
pub struct Running {
    pub pid: String,
    handle: JoinHandle<Result<Client, String>>,
}

/// A row of a view.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub status: String,
    pub metric: String,
    pub object: String,
    /// The complete command.
    pub command: String,
    /// Evidence, advice and command of the first row's finding, on one line.
    pub page: String,
}

/// Whether the condition holds within so many seconds.
pub fn holds_within(seconds: u64, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Waits until a state is built.
pub fn wait_until(condition: &str, holds: impl FnMut() -> bool) {
    assert!(holds_within(30, holds), "timed out: {condition}");
}

impl Session {
    fn open(cluster: &Cluster, user: &str, database: &str, application: &str) -> Self {
        let mut client = cluster.connect_as(user, database);
        run(&mut client, &format!("SET application_name = '{application}'"));
        let pid = value(&mut client, "SELECT pg_backend_pid()");
        Self { client, pid }
    }

    /// Runs statements one by one, so that BEGIN opens a transaction.
    pub fn run(mut self, statements: &[&str]) -> Self {
        for sql in statements {
            run(&mut self.client, sql);
        }
        self
    }

    /// Whether the session can still run a statement, also in its open transaction.
    pub fn is_alive(&mut self) -> bool {
        self.client.simple_query("SELECT 1").is_ok()
    }

    /// Runs a statement in the background.
    pub fn start(self, sql: &str) -> Running {
        let Self { mut client, pid } = self;
        let sql = sql.to_owned();
        let handle = std::thread::spawn(move || match client.batch_execute(&sql) {
            Ok(()) => Ok(client),
            Err(error) => Err(explain(&error)),
        });
        Running { pid, handle }
    }
}

impl Running {
    pub fn is_running(&self) -> bool {
        !self.handle.is_finished()
    }

    /// Waits for the end: the session, or its error.
    pub fn join(self) -> Result<Client, String> {
        self.handle.join().expect("a session's thread")
    }
}

/// A superuser's session that never waits for ever, should an incident not be over.
fn connect_admin(cluster: &Cluster, database: &str) -> Client {
    let mut admin = cluster.connect(database);
    run(&mut admin, "SET statement_timeout = '60s'");
    admin
}

/// The pids of running statements.
pub fn pids(sessions: &[Running]) -> Vec<String> {
    sessions.iter().map(|session| session.pid.clone()).collect()
}

/// Whether all statements complete within ten seconds.
pub fn all_complete(sessions: Vec<Running>) -> bool {
    holds_within(10, || !sessions.iter().any(Running::is_running))
        && sessions.into_iter().all(|session| session.join().is_ok())
}

/// A program of PostgreSQL whose output fits no pipe, so that it stands still in the middle.
pub struct Program(pub std::process::Child);

impl Program {
    /// Kills the program.
    pub fn stop(&mut self) {
        self.0.kill().expect("it ends");
        let _ = self.0.wait();
    }

    /// Lets the program end. Returns whether it succeeded.
    pub fn finish(self) -> bool {
        self.0.wait_with_output().is_ok_and(|output| output.status.success())
    }
}

impl Stage {
    pub fn start(name: &str, settings: &str) -> Self {
        let cluster = Cluster::start(name, &format!("{SETTINGS}\n{settings}"));
        run(&mut cluster.connect("postgres"), ROLES);
        drop(cluster.create_database("model"));
        let mut stage = Self::on(cluster, "model");
        stage.grant();
        stage
    }

    /// The stage of a server whose roles and database exist already.
    pub fn on(cluster: Cluster, database: &str) -> Self {
        let admin = connect_admin(&cluster, database);
        let oncall = cluster.connect_as("oncall", database);
        Self { cluster, database: database.to_owned(), admin, oncall, looks: 1 }
    }

    fn grant(&mut self) {
        run(
            &mut self.admin,
            "SELECT crewsnow_ops.grant_access('oncall', 'operator'); \
             GRANT CREATE ON SCHEMA public TO shop",
        );
    }

    /// Begins an incident in a database of its own.
    pub fn set(&mut self, incident: &str, sql: &[&str]) {
        self.clear();
        self.admin = self.cluster.connect("postgres");
        self.oncall = self.cluster.connect_as("oncall", "postgres");
        let ended = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'model'";
        let admin = &mut self.admin;
        wait_until("the model is unused", || value(admin, ended) == "0");
        run(admin, &format!("CREATE DATABASE {incident} TEMPLATE model"));
        self.database = incident.to_owned();
        self.admin = connect_admin(&self.cluster, incident);
        self.oncall = self.cluster.connect_as("oncall", incident);
        run(&mut self.admin, "SET SESSION AUTHORIZATION shop");
        for statement in sql {
            run(&mut self.admin, statement);
        }
        run(&mut self.admin, "RESET SESSION AUTHORIZATION");
    }

    /// Ends all that an incident has left behind, also one that was not cured.
    fn clear(&mut self) {
        let admin = &mut self.admin;
        let left = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE usename IN ('shop', 'backup')";
        wait_until("all sessions end", || value(admin, left) == "0");
        for row in table(
            admin,
            "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts \
            WHERE database = current_database()",
        ) {
            run(admin, &row[0]);
        }
    }

    /// A session of the application, as the role shop.
    pub fn session(&self, application: &str) -> Session {
        self.session_as("shop", application)
    }

    /// A session of another role.
    pub fn session_as(&self, user: &str, application: &str) -> Session {
        Session::open(&self.cluster, user, &self.database, application)
    }

    /// Many sessions that run the same statement.
    pub fn crowd(&self, size: usize, application: &str, sql: &str) -> Vec<Running> {
        (0..size).map(|_| self.session(application).start(sql)).collect()
    }

    /// pg_dump of the current database, which stands still while its output is not read.
    pub fn backup(&self) -> Program {
        let mut command = self.program_as("pg_dump", "backup");
        command.arg("--table=public.*").stdout(Stdio::piped());
        Program(command.stderr(Stdio::piped()).spawn().expect("pg_dump"))
    }

    /// pgbench with a script, as the application.
    pub fn load(&self, application: &str, arguments: &[&str], script: &Path) -> Program {
        let mut pgbench = self.program_as("pgbench", "shop");
        pgbench.env("PGAPPNAME", application).args(["-n", "-j", "2"]).args(arguments);
        pgbench.arg("-f").arg(script).stdout(Stdio::null()).stderr(Stdio::null());
        Program(pgbench.spawn().expect("pgbench"))
    }

    /// A program of PostgreSQL that connects to the current database as that role.
    pub fn program_as(&self, name: &str, user: &str) -> Command {
        let mut command = self.cluster.client_program(harness::program(name), &self.database);
        command.env("PGUSER", user);
        command
    }

    /// Waits until so many sessions wait for locks, and a moment longer.
    pub fn wait_for_waiters(&mut self, count: usize) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let admin = &mut self.admin;
        wait_until("all wait", || value(admin, waiting) == count.to_string());
        std::thread::sleep(Duration::from_millis(1200));
    }

    /// The rows of the first view that are no `OK`, worst first, and the milliseconds that it took.
    /// The first row gets the page of its finding, which the engineer prints next.
    pub fn first_view(&mut self) -> (Vec<Row>, f64) {
        let started = Instant::now();
        let lines = table(
            &mut self.oncall,
            "SELECT status, metric, object, command FROM crewsnow_ops.triage",
        );
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        let lines = lines.into_iter().filter(|line| line[0] != "OK");
        let mut rows: Vec<Row> = lines
            .map(|line| {
                let [status, metric, object, command] = line.try_into().expect("four columns");
                // `Blocked Sessions +2` stands for three findings.
                let metric = metric.split(" +").next().unwrap_or_default().to_owned();
                Row { status, metric, object, command, page: String::new() }
            })
            .collect();
        if let Some(row) = rows.first_mut() {
            let print = format!("SELECT crewsnow_ops.health_finding('{}')", row.metric);
            let page = table(&mut self.oncall, &print).concat();
            let page: Vec<String> = page.into_iter().take_while(|line| !line.is_empty()).collect();
            let words = page.iter().flat_map(|line| line.split_whitespace());
            row.page = words.collect::<Vec<_>>().join(" ");
            if row.command.contains("health_finding") {
                let command = page.iter().skip_while(|line| *line != "command:").skip(1);
                row.command = command.cloned().collect::<Vec<_>>().join("\n");
            }
        }
        (rows, milliseconds)
    }

    /// Moves all sessions, locks and prepared transactions of this database into the past.
    pub fn let_time_pass(&mut self, interval: &str) {
        harness::past::let_time_pass(&mut self.admin, interval);
    }

    /// Asserts that the first view has no row of this check.
    pub fn is_silent_about(&mut self, metric: &str) {
        let (rows, _) = self.first_view();
        let told = rows.iter().find(|row| row.metric == metric && row.status != "SKIPPED");
        assert!(told.is_none(), "{told:?}");
    }

    /// Asserts that the first view names no session of a client in a CRITICAL or WARNING row.
    pub fn accuses_nobody(&mut self) {
        let (rows, _) = self.first_view();
        let sessions = "SELECT pid::text FROM pg_stat_activity WHERE backend_type IN
            ('client backend', 'walsender', 'autovacuum worker', 'startup')
            UNION SELECT application_name FROM pg_stat_activity
            WHERE application_name NOT IN ('', 'suite')";
        let named = table(&mut self.admin, sessions);
        let accused = rows.iter().filter(|row| row.status != "SKIPPED").find(|row| {
            let text = format!("{} {}", row.object, row.command);
            named.iter().any(|name| crate::verdict::has(&text, &name[0]))
        });
        assert!(accused.is_none(), "{accused:?}");
    }

    /// Pastes a command into psql, with an empty search_path.
    pub fn paste(&self, user: &str, command: &str) -> Result<String, String> {
        let mut psql = self.program_as("psql", user);
        psql.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"]);
        psql.env("PGOPTIONS", "-c search_path= -c statement_timeout=20s");
        psql.env("PGAPPNAME", "oncall");
        let file = self.cluster.scratch().join(format!("{}.sql", self.database));
        std::fs::write(&file, format!("{command}\n")).expect("a script");
        let output = psql.arg("-f").arg(&file).output().expect("psql");
        if output.status.success() { Ok(both(&output)) } else { Err(both(&output)) }
    }
}

/// All rows of a query as text. NULL is the empty string.
pub fn table(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).unwrap_or_else(|e| panic!("{sql}: {}", explain(&e)));
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        })
        .collect()
}
