//! PgBouncer in transaction mode, in front of a server on the loopback interface.

use harness::{Cluster, free_port, server_command};
use postgres::{Client, NoTls};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A running PgBouncer. Dropping it stops it.
pub struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    /// Starts a pooler for all databases of `cluster`. Each role and database shares `connections`
    /// server connections.
    pub fn start(cluster: &Cluster, connections: u32) -> Self {
        assert!(std::path::Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run dev/clients.sh");
        let port = free_port();
        let users = cluster.scratch().join("pooler_users");
        let roles = ["postgres", "oncall", "service"].map(|role| format!("\"{role}\" \"\"\n"));
        std::fs::write(&users, roles.concat()).expect("the list of roles is written");
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = trust\n\
             auth_file = {}\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n\
             ignore_startup_parameters = extra_float_digits\n\
             log_connections = 0\n\
             log_disconnections = 0\n\
             log_pooler_errors = 0\n",
            cluster.port(),
            users.display(),
        );
        let file = cluster.scratch().join("pooler.ini");
        std::fs::write(&file, settings).expect("the settings are written");
        let log = std::fs::File::create(cluster.scratch().join("pooler.log")).expect("a log");
        let process = server_command(PROGRAM)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PgBouncer starts");
        let limit = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "PgBouncer does not listen: see pooler.log");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port }
    }

    /// The TCP port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A session as `user`, through the pooler.
    pub fn connect_as(&self, user: &str, database: &str) -> Client {
        postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(user)
            .dbname(database)
            .connect(NoTls)
            .unwrap_or_else(|e| panic!("cannot connect to {database} through the pooler: {e}"))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
