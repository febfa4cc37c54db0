//! Child processes, the server's programs and real dumps, inside the server.

#[pgrx::pg_schema]
mod tests {
    use crate::error::SqlError;
    use crate::maintenance::restore::backup::{Backup, Kind};
    use crate::maintenance::restore::error::RestoreError;
    use crate::maintenance::restore::fixtures::{
        Folder, client, run, runs, succeed, text, wait_until,
    };
    use crate::maintenance::restore::programs::Program;
    use crate::pg::process::{Launch, Process, ProcessError};
    use pgrx::prelude::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// Sleeps for so many seconds in a child of this session.
    #[pg_extern]
    fn sleep_in_child(seconds: i32) {
        let launch = Launch::new(Path::new("/bin/sleep")).args([seconds.to_string()]);
        let mut process = Process::start(launch).expect("a child");
        process.wait(None, |_| Ok::<(), ProcessError>(())).expect("its end");
    }

    /// Lets another session sleep in a child, ends that session with this SQL function, and returns
    /// how long the child lived after that.
    fn end_of_child(seconds: i32, function: &str) -> Duration {
        let (program, launch) = client("psql");
        let sql = format!("SELECT tests.sleep_in_child({seconds})");
        let mut psql = program.start(launch.args(["-Xqc", &sql])).expect("psql");
        let sleep = format!("/bin/sleep {seconds}");
        wait_until("the child runs", || runs(&sleep));
        let ended = Instant::now();
        run(&format!(
            "SELECT {function}(pid) FROM pg_stat_get_activity(NULL) WHERE query = '{sql}'"
        ));
        wait_until("the child is gone", || !runs(&sleep));
        let took = ended.elapsed();
        psql.wait(None, |_| Ok::<(), ProcessError>(())).expect("the end of psql");
        took
    }

    #[pg_test]
    fn a_cancelled_session_takes_its_child_with_it() {
        assert!(end_of_child(611_001, "pg_cancel_backend") < Duration::from_secs(2));
    }

    #[pg_test]
    fn a_terminated_session_takes_its_child_with_it() {
        assert!(end_of_child(611_002, "pg_terminate_backend") < Duration::from_secs(2));
    }

    #[pg_test]
    fn programs_are_found_beside_the_server() {
        let program = Program::find("pg_dump").expect("pg_dump");
        let server = Program::find("postgres").expect("postgres");
        assert_eq!(program.path().parent(), server.path().parent());
        let missing = Program::find("pg_nothing").expect_err("no program");
        assert_eq!(missing.sqlstate(), PgSqlErrorCode::ERRCODE_UNDEFINED_FILE);
    }

    /// The error of a search for pg_dump in a folder that has this script under its name.
    fn find_script(script: &str, mode: u32) -> RestoreError {
        let folder = Folder::new("programs");
        let path = folder.path("pg_dump");
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode");
        run(&format!("SET LOCAL crewsnow_ops.program_directory = '{}'", folder.0.display()));
        let found = Program::find("pg_dump");
        run("SET LOCAL crewsnow_ops.program_directory = ''");
        found.expect_err(script)
    }

    #[pg_test]
    fn a_program_of_another_version_is_refused() {
        let other = find_script("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.1'\n", 0o755);
        assert_eq!(other.sqlstate(), PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert!(other.detail().is_some_and(|detail| detail.contains("12.1")), "{other:?}");
        let broken = find_script("#!/bin/sh\necho 'no library' >&2\nexit 127\n", 0o755);
        assert!(broken.detail().is_some_and(|detail| detail.contains("no library")), "{broken:?}");
        let silent = find_script("not a program", 0o644);
        assert_eq!(silent.sqlstate(), PgSqlErrorCode::ERRCODE_SYSTEM_ERROR);
    }

    #[pg_test]
    fn a_program_that_others_can_change_is_refused() {
        let open = find_script("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.1'\n", 0o777);
        assert_eq!(open.sqlstate(), PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE);
    }

    fn open(path: &Path) -> Result<Backup, RestoreError> {
        Backup::open(&path.display().to_string(), &mut || Ok(()))
    }

    /// A copy of a file without its last bytes.
    fn cut(path: &Path, bytes: u64) -> PathBuf {
        let copy = path.with_extension("cut");
        std::fs::copy(path, &copy).expect("a copy");
        let file = std::fs::OpenOptions::new().write(true).open(&copy).expect("the copy");
        file.set_len(file.metadata().expect("its length").len() - bytes).expect("shorter");
        copy
    }

    fn require_truncated(path: &Path, part: &str) {
        let backup = open(path).expect("its beginning is sound");
        let error = backup.require_whole(&mut || Ok(())).expect_err("a cut dump");
        assert_eq!(error.sqlstate(), PgSqlErrorCode::ERRCODE_DATA_CORRUPTED);
        let detail = error.detail().unwrap_or_default();
        assert!(detail.contains(part), "{detail}");
    }

    #[pg_test]
    fn dumps_are_recognised_and_cut_ones_are_named() {
        let folder = Folder::new("dumps");
        succeed(
            "psql",
            &[
                "-Xqc",
                "DROP SCHEMA IF EXISTS \"Dump \"\"ed\" CASCADE",
                "-c",
                "CREATE SCHEMA \"Dump \"\"ed\"",
                "-c",
                "CREATE TABLE \"Dump \"\"ed\".probe AS SELECT i, md5(i::text)
                 FROM generate_series(1, 5000) AS i",
                "-c",
                "SELECT lo_create(0)",
            ],
        );
        let major =
            Spi::get_one::<i32>("SELECT current_setting('server_version_num')::int / 10000");
        let major = major.expect("a number").map(|major| major as u32);
        for (format, kind) in [
            ("custom", Kind::Custom),
            ("directory", Kind::Directory),
            ("tar", Kind::TarDump),
            ("plain", Kind::Plain),
        ] {
            let path = folder.path(format);
            let file = format!("--file={}", path.display());
            succeed(
                "pg_dump",
                &["--blobs", r#"--schema="Dump ""ed""#, &format!("--format={format}"), &file],
            );
            let backup = open(&path).expect(format);
            assert_eq!(backup.kind, kind);
            assert_eq!(backup.major(), major, "{format}");
            assert!(backup.bytes > 10_000, "{format}: {} bytes", backup.bytes);
            backup.require_major().expect(format);
            backup.require_whole(&mut || Ok(())).expect(format);
        }
        require_truncated(&cut(&folder.path("custom"), 2000), "probe");
        require_truncated(&cut(&folder.path("tar"), 2000), "It ends in or after");
        require_truncated(&cut(&folder.path("plain"), 5000), "probe");
        for entry in folder.path("directory").read_dir().expect("files") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "gz") {
                std::fs::remove_file(path).expect("removed");
            }
        }
        require_truncated(&folder.path("directory"), "is missing");
        succeed("psql", &["-Xqc", "DROP SCHEMA \"Dump \"\"ed\" CASCADE"]);
    }

    #[pg_test]
    fn a_dump_that_enters_another_database_is_refused() {
        let folder = Folder::new("creating");
        let path = folder.path("creating.sql");
        let file = format!("--file={}", path.display());
        succeed("pg_dump", &["--create", "--clean", "--schema-only", &file]);
        let error = open(&path).expect("a dump").require_whole(&mut || Ok(())).expect_err("a drop");
        assert_eq!(error.sqlstate(), PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE);
        let detail = error.detail().unwrap_or_default();
        assert!(detail.contains("is a statement on a database"), "{detail}");
        succeed("pg_dump", &["--clean", "--if-exists", "--schema-only", &file]);
        open(&path).expect("a dump").require_whole(&mut || Ok(())).expect("stays in its database");
    }

    #[pg_test]
    fn the_dump_of_this_extension_stays_in_its_database() {
        let folder = Folder::new("own");
        let path = folder.path("own.sql");
        succeed("pg_dump", &[&format!("--file={}", path.display())]);
        open(&path).expect("a dump").require_whole(&mut || Ok(())).expect("whole");
    }

    fn refused(path: &Path) -> (PgSqlErrorCode, String) {
        let error = open(path).expect_err("no backup");
        (error.sqlstate(), format!("{error}: {}", error.detail().unwrap_or_default()))
    }

    #[pg_test]
    fn files_and_folders_that_are_no_backup_are_refused() {
        let folder = Folder::new("others");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path(name);
            std::fs::write(&path, bytes).expect("a file");
            path
        };
        let (state, told) = refused(&write("a.age", b"age-encryption.org/v1\n"));
        assert_eq!(state, PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED);
        assert!(told.contains("is encrypted"), "{told}");
        let (_, told) = refused(&write("a.gz", b"\x1f\x8b\x08\0"));
        assert!(told.contains("is compressed"), "{told}");
        let (state, told) = refused(&write("empty", b""));
        assert_eq!(state, PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE);
        assert!(told.contains("an empty file"), "{told}");
        let (_, told) = refused(&write("noise", b"\x01\x02\x03"));
        assert!(told.contains("unknown format"), "{told}");
        let (state, _) = refused(&write("short", b"PGDMP\x01\x0e"));
        assert_eq!(state, PgSqlErrorCode::ERRCODE_DATA_CORRUPTED);
        let (_, told) = refused(&folder.0);
        assert!(told.contains("a folder without toc.dat"), "{told}");
        let (state, _) = refused(&folder.path("absent"));
        assert_eq!(state, PgSqlErrorCode::ERRCODE_UNDEFINED_FILE);
        let (_, told) = refused(Path::new("relative.dump"));
        assert!(told.contains("absolute path"), "{told}");
        let data = text("SELECT current_setting('data_directory')");
        let (_, told) = refused(Path::new(&data));
        assert!(told.contains("of a server that runs"), "{told}");
        let open_to_all = write("open.sql", b"--\n-- PostgreSQL database dump\n--\n");
        std::fs::set_permissions(&open_to_all, PermissionsExt::from_mode(0o666)).expect("a mode");
        let (state, told) = refused(&open_to_all);
        assert_eq!(state, PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE);
        assert!(told.contains("0666"), "{told}");
        let below = folder.path("below");
        std::fs::create_dir(&below).expect("a folder");
        std::fs::set_permissions(&below, PermissionsExt::from_mode(0o777)).expect("a mode");
        let (state, _) = refused(&write("below/a.sql", b"--\n-- PostgreSQL database dump\n--\n"));
        assert_eq!(state, PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, "its folder counts");
    }
}
