//! Regression scripts as in PostgreSQL's pg_regress: psql runs each file of sql/, and its output
//! must equal the file of the same name in expected/. UPDATE_EXPECTED=1 rewrites expected/; read
//! the difference before you commit it.

use harness::{Cluster, root};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn scripts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("sql")).expect("the scripts");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut scripts: Vec<_> =
        names.map(|name| name.to_string_lossy().trim_end_matches(".sql").to_owned()).collect();
    scripts.sort();
    scripts
}

// passes before: scripts are compared one by one
#[test]
fn every_script_answers_as_expected() {
    let folder = root().join("tests/pg_regress");
    let results = root().join("target/pg_regress");
    fs::create_dir_all(&results).expect("a directory for the results");
    let scripts = harness::named_scripts().unwrap_or_else(|| scripts(&folder));
    assert!(!scripts.is_empty());
    let cluster = Cluster::start("pg_regress", "timezone = 'UTC'");
    let mut failed = Vec::new();
    for script in scripts {
        cluster.create_empty_database(&script);
        let result = results.join(format!("{script}.out"));
        let file = fs::File::create(&result).expect("a file for the result");
        let status = cluster
            .psql(&script)
            .args(["-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"])
            .stdin(fs::File::open(folder.join(format!("sql/{script}.sql"))).expect("the script"))
            .stderr(Stdio::from(file.try_clone().expect("the same file")))
            .stdout(Stdio::from(file))
            .status()
            .expect("psql runs");
        assert!(status.success(), "psql could not run {script}");
        let expected = folder.join(format!("expected/{script}.out"));
        if harness::rewrites("UPDATE_EXPECTED") {
            fs::copy(&result, &expected).expect("the expected file is written");
        }
        let diff =
            Command::new("diff").arg("-u").args([&expected, &result]).output().expect("diff runs");
        if !diff.status.success() {
            print!("{}", harness::both(&diff));
            failed.push(script);
        }
    }
    assert!(failed.is_empty(), "the output differs from expected/: {failed:?}");
}
