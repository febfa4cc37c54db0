//! Private servers on base backups of the test server.

#[pgrx::pg_schema]
mod tests {
    use crate::error::SqlError;
    use crate::maintenance::restore::backup::{Backup, Kind};
    use crate::maintenance::restore::base_copy::{BaseCopy, FOLDER, Verification, require_room};
    use crate::maintenance::restore::error::RestoreError;
    use crate::maintenance::restore::fixtures::{Folder, client, run, runs, succeed, wait_until};
    use crate::maintenance::restore::ownership::require_safe_directory;
    use crate::maintenance::restore::programs::Program;
    use crate::maintenance::restore::server::PrivateServer;
    use crate::pg::process;
    use pgrx::prelude::*;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// One base backup at a time, because a tablespace of one test would be part of another's.
    fn alone(test: &str) -> Folder {
        run("SELECT pg_advisory_xact_lock(4711)");
        Folder::new(test)
    }

    /// The file of a table with 5000 rows, below the data directory.
    fn make_table(tablespace: &str) -> String {
        let create = format!(
            "CREATE TABLE base_probe TABLESPACE {tablespace} AS
             SELECT i, md5(i::text) AS digest FROM generate_series(1, 5000) AS i"
        );
        succeed("psql", &["-Xqc", "DROP TABLE IF EXISTS base_probe", "-c", &create]);
        Spi::get_one::<String>("SELECT pg_relation_filepath('base_probe')")
            .expect("a table")
            .expect("its file")
    }

    fn back_up(to: &Path, arguments: &[&str]) {
        let directory = format!("--pgdata={}", to.display());
        let mut all = vec!["--checkpoint=fast", "--no-sync", directory.as_str()];
        all.extend_from_slice(arguments);
        succeed("pg_basebackup", &all);
    }

    fn open(path: &Path) -> Backup {
        Backup::open(&path.display().to_string(), &mut || Ok(())).expect("a backup")
    }

    fn copy(backup: &Backup, parent: &Path) -> BaseCopy {
        BaseCopy::make(backup, parent, None, &mut || Ok(())).expect("a copy")
    }

    fn start(backup: &Backup, parent: &Path) -> PrivateServer {
        PrivateServer::start(backup, copy(backup, parent), None).expect("a server")
    }

    /// The answer of the private server to a query.
    fn ask(server: &PrivateServer, sql: &str) -> String {
        let psql = Program::find("psql").expect("psql");
        let database = Spi::get_one::<String>("SELECT current_database()::text");
        let database = database.expect("a name").expect("not NULL");
        let launch = psql
            .launch()
            .env("PGDATABASE", database)
            .env("PGHOST", server.socket())
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", server.user())
            .read_lines();
        let mut answer = String::new();
        let exit = psql
            .run(launch.args(["-XqAtc", sql]), None, |line| {
                answer += &String::from_utf8_lossy(line);
                Ok(())
            })
            .expect("psql runs");
        assert!(exit.status.is_success(), "{sql}: {}", String::from_utf8_lossy(&exit.errors));
        answer
    }

    /// Whether a private server has left files in this folder.
    fn has_leftovers(parent: &Path) -> bool {
        parent.join(FOLDER).exists()
    }

    fn flip_byte(path: &Path, at: u64) {
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
        file.seek(SeekFrom::Start(at)).expect("its place");
        file.write_all(b"\xa5").expect("written");
    }

    #[pg_test]
    fn a_base_backup_recovers_on_a_private_socket_and_leaves_nothing() {
        let folder = alone("base");
        make_table("pg_default");
        let path = folder.path("base");
        // -R makes a standby of the source, which the copy must not become.
        back_up(&path, &["-R"]);
        let backup = open(&path);
        assert_eq!(backup.kind, Kind::BaseFolder);
        backup.require_major().expect("this version");
        let mut server = start(&backup, &folder.0);
        assert_eq!(server.verification(), &Verification::Passed);
        assert_eq!(ask(&server, "SELECT count(*) FROM base_probe"), "5000");
        assert_eq!(ask(&server, "SELECT pg_is_in_recovery()"), "f");
        let settings = "SELECT string_agg(current_setting(name), ',') FROM unnest(ARRAY[
            'listen_addresses', 'archive_mode', 'primary_conninfo', 'max_worker_processes'
        ]) AS name";
        assert_eq!(ask(&server, settings), ",off,,0");
        let workers = "SELECT count(*) FROM pg_stat_activity
            WHERE backend_type ~ 'launcher|apply|autovacuum|archiver|walreceiver'";
        assert_eq!(ask(&server, workers), "0");
        assert_eq!(ask(&server, "CREATE TABLE written (); DROP TABLE base_probe; SELECT 1"), "1");
        assert!(server.is_running());
        let postgres = Program::find("postgres").expect("postgres");
        let line = format!("{} -D {}", postgres.path().display(), server.directory().display());
        assert!(runs(&line));
        drop(server);
        assert!(!runs(&line));
        assert!(!has_leftovers(&folder.0));
        succeed("pg_verifybackup", &[&path.display().to_string()]);
        succeed("psql", &["-Xqc", "DROP TABLE base_probe"]);
    }

    #[pg_test]
    fn a_flipped_byte_of_a_base_backup_is_named() {
        let folder = alone("flipped");
        let file = make_table("pg_default");
        let path = folder.path("base");
        back_up(&path, &[]);
        flip_byte(&path.join(&file), 9000);
        let backup = open(&path);
        let copied = copy(&backup, &folder.0);
        let Verification::Failed(faults) = copied.verification() else { panic!("no fault") };
        assert_eq!(faults, &[format!("checksum mismatch for file \"{file}\"")]);
        drop(copied);
        assert!(!has_leftovers(&folder.0));
        succeed("psql", &["-Xqc", "DROP TABLE base_probe"]);
    }

    /// The SQLSTATE and DETAIL of a failed start.
    fn failure(backup: &Backup, parent: &Path) -> (PgSqlErrorCode, String) {
        let error = PrivateServer::start(backup, copy(backup, parent), None).err();
        let error: RestoreError = error.expect("no server");
        (error.sqlstate(), format!("{error}: {}", error.detail().unwrap_or_default()))
    }

    #[pg_test]
    fn a_base_backup_without_its_end_is_refused() {
        let folder = alone("endless");
        let path = folder.path("base");
        back_up(&path, &[]);
        let segments = || path.join("pg_wal").read_dir().expect("WAL").filter_map(Result::ok);
        let segment = segments().find(|entry| entry.file_name().len() == 24).expect("a segment");
        let length = segment.metadata().expect("its length").len();
        // The label tells where the WAL begins: the end of the backup comes later.
        let label = std::fs::read_to_string(path.join("backup_label")).expect("a label");
        let start = label.split_whitespace().nth(3).and_then(|place| place.split('/').nth(1));
        let start = u64::from_str_radix(start.expect("a place"), 16).expect("a number");
        let file = std::fs::OpenOptions::new().write(true).open(segment.path()).expect("a file");
        file.set_len(start % length + 200).expect("shorter");
        file.set_len(length).expect("zeros");
        let (state, told) = failure(&open(&path), &folder.0);
        assert_eq!(state, PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, "{told}");
        assert!(told.contains("The private server says: "), "{told}");
        std::fs::remove_file(segment.path()).expect("removed");
        let (_, told) = failure(&open(&path), &folder.0);
        assert!(told.contains("holds no WAL"), "{told}");
        std::fs::remove_file(path.join("backup_label")).expect("removed");
        let (_, told) = failure(&open(&path), &folder.0);
        assert!(told.contains("backup_label is missing"), "{told}");
        assert!(!has_leftovers(&folder.0));
    }

    #[pg_test]
    fn a_tablespace_in_tar_files_is_recovered_beside_the_source() {
        let folder = alone("tars");
        let live = folder.path("live");
        std::fs::create_dir(&live).expect("a folder");
        let create = format!("CREATE TABLESPACE base_space LOCATION '{}'", live.display());
        let remove = ["DROP TABLE IF EXISTS base_probe", "DROP TABLESPACE IF EXISTS base_space"];
        succeed("psql", &["-Xqc", remove[0], "-c", remove[1], "-c", &create]);
        let file = make_table("base_space");
        for (name, arguments) in
            [("plain_tar", vec!["-Ft", "-Xfetch"]), ("gzip", vec!["-Ft", "-z", "-Xstream"])]
        {
            let path = folder.path(name);
            back_up(&path, &arguments);
            let backup = open(&path);
            assert_eq!(backup.kind, Kind::BaseTar);
            assert_eq!(backup.major().is_some(), name == "plain_tar");
            let server = start(&backup, &folder.0);
            assert_eq!(server.verification(), &Verification::Passed, "{name}");
            assert_eq!(ask(&server, "SELECT count(*) FROM base_probe"), "5000");
            let moved = "SELECT pg_tablespace_location(oid) FROM pg_tablespace
                WHERE spcname = 'base_space'";
            assert!(ask(&server, moved).contains(FOLDER), "{name}");
            ask(&server, "DELETE FROM base_probe; CHECKPOINT; SELECT 1");
        }
        let data = Spi::get_one::<String>("SELECT current_setting('data_directory')");
        let data = PathBuf::from(data.expect("a setting").expect("not NULL"));
        assert!(data.join(&file).exists());
        // In a session of its own, because a lock of this one would keep the table.
        let sql = "SELECT 1 / (count(*) = 5000)::int FROM base_probe";
        succeed("psql", &["-Xqc", sql]);
        // A plain backup of a tool may keep the link to the live folder.
        let path = folder.path("linked");
        back_up(
            &path,
            &[&format!(
                "--tablespace-mapping={}={}",
                live.display(),
                folder.path("mapped").display()
            )],
        );
        let server = start(&open(&path), &folder.0);
        assert_eq!(ask(&server, "SELECT count(*) FROM base_probe"), "5000");
        drop(server);
        let links = path.join("pg_tblspc").read_dir().expect("links");
        let link = links.filter_map(Result::ok).next().expect("a link").path();
        std::fs::remove_file(&link).expect("removed");
        symlink(&live, &link).expect("a link");
        let refused = BaseCopy::make(&open(&path), &folder.0, None, &mut || Ok(())).err();
        let refused = refused.map(|error| error.detail().unwrap_or_default());
        assert!(refused.is_some_and(|detail| detail.contains("a folder of this server")));
        succeed("psql", &["-Xqc", remove[0], "-c", remove[1]]);
    }

    #[pg_test]
    fn programs_on_a_copy_end_at_the_deadline() {
        let folder = alone("late");
        let late = Some(Instant::now());
        for (name, arguments) in [("tars", vec!["-Ft"]), ("plain", vec![])] {
            let path = folder.path(name);
            back_up(&path, &arguments);
            let copied = BaseCopy::make(&open(&path), &folder.0, late, &mut || Ok(()));
            assert!(matches!(copied.err(), Some(RestoreError::OutOfTime)), "{name}");
            let copy = copy(&open(&path), &folder.0);
            let server = PrivateServer::start(&open(&path), copy, late);
            assert!(matches!(server.err(), Some(RestoreError::OutOfTime)), "{name}");
            assert!(!folder.path(FOLDER).exists(), "the copy is removed");
        }
    }

    #[pg_test]
    fn a_backup_during_which_a_tablespace_was_created_is_refused() {
        let folder = alone("during");
        let live = folder.path("live");
        std::fs::create_dir(&live).expect("a folder");
        let path = folder.path("base");
        let (program, launch) = client("pg_basebackup");
        let directory = format!("--pgdata={}", path.display());
        // Slow enough for the statement to fall into it.
        let launch = launch.args(["-cfast", "--no-sync", "--max-rate=16M", &directory]);
        let mut backup = program.start(launch).expect("pg_basebackup");
        wait_until("the backup has begun", || path.join("backup_label").exists());
        let create = format!("CREATE TABLESPACE during LOCATION '{}'", live.display());
        succeed("psql", &["-Xqc", &create]);
        let exit = backup.wait(None, |_| Ok::<(), process::ProcessError>(())).expect("its end");
        succeed("psql", &["-Xqc", "DROP TABLESPACE during"]);
        assert!(exit.status.is_success(), "{}", String::from_utf8_lossy(&exit.errors));
        let (state, told) = failure(&open(&path), &folder.0);
        assert_eq!(state, PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, "{told}");
        assert!(told.contains("while a tablespace was created"), "{told}");
    }

    /// Keeps a private server running until this session ends.
    #[pg_extern]
    fn hold_private_server(path: &str, parent: &str) {
        let server = start(&open(Path::new(path)), Path::new(parent));
        loop {
            assert!(server.directory().exists());
            process::pause(Duration::from_secs(1));
        }
    }

    #[pg_test]
    fn an_ended_session_takes_its_private_server_with_it() {
        let folder = alone("ended");
        let path = folder.path("base");
        back_up(&path, &[]);
        let postgres = Program::find("postgres").expect("postgres").path().to_owned();
        let line = format!("{} -D {}/{FOLDER}", postgres.display(), folder.0.display());
        for function in ["pg_terminate_backend", "pg_cancel_backend"] {
            let (program, launch) = client("psql");
            let (path, parent) = (path.display(), folder.0.display());
            let sql = format!("SELECT tests.hold_private_server('{path}', '{parent}')");
            let psql = program.start(launch.args(["-Xqc", &sql])).expect("psql");
            wait_until("the server runs", || runs(&line));
            run("SELECT pg_stat_clear_snapshot()");
            let literal = sql.replace('\'', "''");
            run(&format!(
                "SELECT {function}(pid) FROM pg_stat_get_activity(NULL) WHERE query = '{literal}'"
            ));
            wait_until("the server is gone", || !runs(&line));
            wait_until("its files are gone", || !has_leftovers(&folder.0));
            drop(psql);
        }
    }

    #[pg_test]
    fn a_deep_directory_gets_a_short_socket() {
        let folder = alone("deep");
        let path = folder.path("base");
        back_up(&path, &[]);
        let deep = folder.path(&"deep/".repeat(20));
        std::fs::create_dir_all(&deep).expect("folders");
        let server = start(&open(&path), &deep);
        assert_eq!(ask(&server, "SELECT 1"), "1");
        assert!(server.socket().starts_with("/proc"));
    }

    #[pg_test]
    fn a_directory_that_others_can_write_is_refused_unless_it_is_sticky() {
        let folder = Folder::new("writable");
        let inner = folder.path("inner");
        std::fs::create_dir(&inner).expect("a folder");
        require_safe_directory(&inner).expect("below /tmp, which is sticky");
        std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o777)).expect("a mode");
        let error = require_safe_directory(&inner).expect_err("its parent is open");
        assert_eq!(error.sqlstate(), PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE);
    }

    #[pg_test]
    fn a_directory_without_room_is_refused() {
        let error = require_room(Path::new("/tmp"), u64::MAX).expect_err("no room");
        assert_eq!(error.sqlstate(), PgSqlErrorCode::ERRCODE_DISK_FULL);
        require_room(Path::new("/tmp"), 1).expect("room for a byte");
    }
}
