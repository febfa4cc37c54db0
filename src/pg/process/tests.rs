use super::*;

fn shell(script: &str) -> Launch {
    Launch::new(Path::new("/bin/sh")).args(["-c", script]).read_lines()
}

/// The lines and the end of a script.
fn run(launch: Launch, limit: Duration) -> (Vec<String>, Exit) {
    let mut process = Process::spawn(launch).expect("a child");
    let mut lines = Vec::new();
    let on_line = |line: &[u8]| {
        lines.push(String::from_utf8_lossy(line).into_owned());
        Ok::<(), ProcessError>(())
    };
    let exit = process.wait_with(Some(Instant::now() + limit), on_line, || {}).expect("its end");
    (lines, exit)
}

const LONG: Duration = Duration::from_secs(30);

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn wait_until_dead(pid: &str) {
    let end = Instant::now() + LONG;
    while is_alive(pid) {
        assert!(Instant::now() < end, "process {pid} lives");
        std::thread::sleep(SHORT_TICK);
    }
}

#[test]
fn lines_status_and_errors_come_back() {
    let (lines, exit) = run(shell("echo one; echo two >&2; printf three; exit 7"), LONG);
    assert_eq!(lines, ["one", "three"]);
    assert_eq!(exit.status, Status::Code(7));
    assert_eq!(exit.errors, b"two\n");
    let (_, killed) = run(shell("kill -TERM $$"), LONG);
    assert_eq!(killed.status, Status::Signal(15));
}

#[test]
fn much_output_on_both_pipes_does_not_block() {
    let (lines, exit) = run(shell("seq 1 200000; seq 1 200000 >&2"), LONG);
    assert_eq!(lines.len(), 200_000);
    assert_eq!(lines.last().map(String::as_str), Some("200000"));
    assert_eq!(exit.errors.len(), KEPT_ERRORS);
    assert!(exit.errors.ends_with(b"\n200000\n"), "the last ones are kept");
}

#[test]
fn a_line_without_end_is_refused() {
    let mut process = Process::spawn(shell("cat /dev/zero")).expect("a child");
    let refused = process.wait_with(None, |_| Ok::<(), ProcessError>(()), || {});
    assert!(matches!(refused, Err(ProcessError::LongLine)), "{refused:?}");
}

#[test]
fn a_child_has_a_clean_environment_and_no_files_of_its_parent() {
    // A file without close-on-exec, as the server has them.
    let open = File::open("/dev/null").expect("a file");
    rustix::io::fcntl_setfd(&open, FdFlags::empty()).expect("the flag is cleared");
    let script = "exec env ls -l /proc/self/fd; ";
    let (files, _) = run(shell(script), LONG);
    let numbers = files.iter().filter(|line| line.contains("->")).count();
    // The three standard ones, and the directory that ls reads.
    assert_eq!(numbers, 4, "{files:?}");
    let (signals, _) = run(shell("grep SigBlk /proc/self/status"), LONG);
    assert_eq!(signals, ["SigBlk:\t0000000000000000"]);
    let (mut variables, _) = run(shell("env").env("PGHOST", "/run"), LONG);
    variables.retain(|line| !line.starts_with("HOME=") && !line.starts_with("LD_LIBRARY_PATH="));
    variables.retain(|line| !["PWD", "_", "SHLVL"].contains(&line.split('=').next().unwrap_or("")));
    variables.sort();
    assert_eq!(variables, ["LC_ALL=C", "PATH=/usr/bin:/bin", "PGHOST=/run"]);
    let (input, _) = run(shell("cat; echo end"), LONG);
    assert_eq!(input, ["end"], "standard input is empty");
}

#[test]
fn a_deadline_kills_the_whole_group() {
    let script = "sleep 600 & echo $!; sleep 600";
    let (lines, exit) = run(shell(script), Duration::from_millis(300));
    assert_eq!(exit.status, Status::Expired);
    wait_until_dead(&lines[0]);
}

#[test]
fn a_drop_kills_the_whole_group() {
    let mut process = Process::spawn(shell("sleep 600 & echo $!; sleep 600")).expect("a child");
    let mut grandchild = String::new();
    let stop = |line: &[u8]| {
        grandchild = String::from_utf8_lossy(line).into_owned();
        Err(ProcessError::LongLine)
    };
    process.wait_with(None, stop, || {}).expect_err("the callback ends the wait");
    let child = process.id().to_string();
    assert!(is_alive(&child) && is_alive(&grandchild));
    drop(process);
    wait_until_dead(&child);
    wait_until_dead(&grandchild);
}

#[test]
fn a_grandchild_that_keeps_the_pipes_ends_with_its_parent() {
    let started = Instant::now();
    let (lines, exit) = run(shell("sleep 600 & echo $!; exit 3"), LONG);
    assert_eq!(exit.status, Status::Code(3));
    assert!(started.elapsed() < LONG);
    wait_until_dead(&lines[0]);
}

#[test]
fn a_server_may_end_gently() {
    let launch = shell("trap 'echo quit; exit 0' QUIT; echo ready; while :; do sleep 0.1; done");
    let mut process = Process::spawn(launch.ending(Ending::Quit)).expect("a child");
    let ready = |_: &[u8]| Err(ProcessError::LongLine);
    process.wait_with(None, ready, || {}).expect_err("the callback ends the wait");
    let started = Instant::now();
    drop(process);
    assert!(started.elapsed() < PATIENCE);
    let launch = shell("trap 'exit 4' INT; while :; do sleep 0.05; done");
    let mut process = Process::spawn(launch).expect("a child");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(process.interrupt(LONG), Some(Status::Code(4)));
}

#[test]
fn a_program_that_does_not_exist_is_an_error() {
    let missing = Process::spawn(Launch::new(Path::new("/nonexistent/pg_dump")));
    assert_eq!(missing.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

/// Set in the process that the test below kills.
const VICTIM: &str = "CREWSNOW_KILLED_PARENT";

#[test]
fn a_killed_parent_takes_its_child_with_it() {
    if std::env::var_os(VICTIM).is_some() {
        let child = Process::spawn(shell("exec sleep 600")).expect("a child");
        println!("child {}", child.id());
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let this = std::env::current_exe().expect("this program");
    let name = "pg::process::tests::a_killed_parent_takes_its_child_with_it";
    let launch = Launch::new(&this).args(["--exact", name, "--nocapture"]).env(VICTIM, "1");
    let mut parent = Process::spawn(launch.read_lines()).expect("a parent");
    let mut child = String::new();
    let until_told = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        child = line.split_once("child ").map(|(_, pid)| pid.trim().to_owned()).unwrap_or_default();
        if child.is_empty() { Ok(()) } else { Err(ProcessError::LongLine) }
    };
    let deadline = Some(Instant::now() + LONG);
    parent.wait_with(deadline, until_told, || {}).expect_err("the child is told");
    assert!(is_alive(&child));
    os::kill_process(parent.group(), Signal::KILL).expect("a kill");
    wait_until_dead(&child);
}
