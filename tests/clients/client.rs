//! The client programs, and a server with a pooler for them.

use super::pooler::Pooler;
use harness::{Cluster, root, run};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A driver or an ORM, and the program that uses it.
#[derive(Clone, Copy)]
pub struct Driver {
    /// Name of the driver, as part of the names of databases and flags.
    pub name: &'static str,
    file: &'static str,
}

/// Django is only called, because its traffic would be that of psycopg.
pub const DJANGO: Driver = Driver { name: "django", file: "client_django.py" };

/// The drivers and ORMs with sessions under load.
pub const DRIVERS: [Driver; 5] = [
    Driver { name: "psycopg", file: "client_psycopg.py" },
    Driver { name: "asyncpg", file: "client_asyncpg.py" },
    Driver { name: "sqlalchemy", file: "client_sqlalchemy.py" },
    Driver { name: "node", file: "client_node.js" },
    Driver { name: "jdbc", file: "ClientJdbc.java" },
];

/// The way from a client to the server.
#[derive(Clone, Copy)]
pub enum Route {
    /// A session of the server.
    Direct,
    /// A connection to the pooler, which lends a session for each transaction.
    Pooler,
}

impl Route {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Pooler];

    /// Name of the route, as the client programs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Pooler => "pooler",
        }
    }
}

/// A server on the loopback interface, and a pooler in front of it.
pub struct Site {
    /// The server.
    pub cluster: Cluster,
    /// The pooler. It stops before the server does.
    pub pooler: Pooler,
}

impl Site {
    /// Starts both, with the roles `oncall` and `service`.
    pub fn start(name: &str, pooled_connections: u32) -> Self {
        let cluster = Cluster::start_on_loopback(name, "max_connections = 100");
        run(
            &mut cluster.connect("postgres"),
            "CREATE ROLE oncall LOGIN; CREATE ROLE service LOGIN",
        );
        let pooler = Pooler::start(&cluster, pooled_connections);
        Self { cluster, pooler }
    }

    /// A database whose operator is `oncall` and whose writer is `service`.
    pub fn create_database(&self, name: &str) -> postgres::Client {
        let mut client = self.cluster.create_database(name);
        run(
            &mut client,
            "SET client_min_messages = warning;
             SELECT crewsnow_ops.grant_access('oncall', 'operator'),
                 crewsnow_ops.grant_access('service', 'writer')",
        );
        client
    }

    /// The client program of a driver, as `oncall`.
    pub fn program(&self, driver: Driver, database: &str, route: Route) -> Command {
        let tools = root().join("target/clients");
        let file = root().join("tests/clients").join(driver.file);
        let (interpreter, options) = match driver.file.rsplit_once('.') {
            Some((_, "py")) => (tools.join("bin/python"), vec!["-B".into()]),
            Some((_, "js")) => (PathBuf::from("node"), Vec::new()),
            _ => (PathBuf::from("java"), java_options()),
        };
        let is_here = tools.join("bin/python").exists() && tools.join("node_modules/pg").exists();
        assert!(is_here, "{} is not complete: run dev/clients.sh", tools.display());
        let port = match route {
            Route::Direct => self.cluster.port(),
            Route::Pooler => self.pooler.port(),
        };
        let mut command = self.cluster.client_program(interpreter, database);
        command
            .args(options)
            .arg(file)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", "oncall")
            .env("ROUTE", route.name())
            .env("NODE_PATH", tools.join("node_modules"))
            .env_remove("PYTHONPATH")
            .stdin(Stdio::null());
        command
    }
}

/// Options that make a short run of Java start quickly.
fn java_options() -> Vec<String> {
    ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "/usr/share/java/postgresql.jar"]
        .map(str::to_owned)
        .into()
}

/// The words of a line that a client program printed.
pub fn words(line: &str) -> Vec<&str> {
    line.split('\t').collect()
}
