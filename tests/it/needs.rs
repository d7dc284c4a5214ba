//! What a test needs beyond Rust: it runs where the tools are, and says plainly where they are not.

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set to `1` in CI: there a missing tool fails the test instead of skipping it.
const TEST_ALL: &str = "PACKAGEORIGIN_TEST_ALL";

/// Whether all of `tools` are on `PATH`. If not, one line names the test and the first missing one.
///
/// # Panics
///
/// If a tool is missing and `PACKAGEORIGIN_TEST_ALL=1`.
pub(crate) fn needs(tools: &[&str]) -> bool {
    let Some(missing) = tools.iter().find(|name| tool(name).is_none()) else {
        return true;
    };
    skip(missing)
}

/// Says that the running test is skipped for want of `what`, and gives false.
///
/// # Panics
///
/// If `PACKAGEORIGIN_TEST_ALL=1`.
pub(crate) fn skip(what: &str) -> bool {
    assert!(
        env::var_os(TEST_ALL).is_none_or(|value| value != "1"),
        "{}",
        skipped(what)
    );
    say(&skipped(what));
    false
}

/// The file or folder that `variable` names. If it names none, one line says that the test is skipped, also
/// with `PACKAGEORIGIN_TEST_ALL=1`: what is there to be tested is whoever runs the tests' own.
pub(crate) fn optional(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|value| !value.is_empty());
    if path.is_none() {
        say(&format!("{}, which is optional", skipped(variable)));
    }
    path.map(PathBuf::from)
}

fn skipped(what: &str) -> String {
    let thread = thread::current();
    // The test harness names the thread of a test after the test.
    format!("skipped: {} needs {what}", thread.name().unwrap_or("test"))
}

/// Writes `line` to stderr, also if the test passes.
pub(crate) fn say(line: &str) {
    // Not `eprintln!`: the harness would swallow the line of a test that passes.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Where `PATH` has the program `name`.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// What a program did.
pub(crate) struct Finished {
    /// Whether it exited with 0.
    pub(crate) success: bool,
    /// What it exited with; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Finished {
    /// All it wrote, for a message.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `command` to its end.
///
/// # Panics
///
/// If it cannot be started, or has not ended after `limit`: then it is killed, by its id.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Finished {
    // Files, not pipes: a grandchild that stays behind holds a pipe open for ever.
    let mut stdout = tempfile::tempfile().expect("a temporary file");
    let mut stderr = tempfile::tempfile().expect("a temporary file");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("a second handle"))
        .stderr(stderr.try_clone().expect("a second handle"))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = wait(&mut child, limit);
    let (stdout, stderr) = (from_start(&mut stdout), from_start(&mut stderr));
    let status = status.unwrap_or_else(|| panic!("{command:?}: no end\n{stdout}{stderr}"));
    Finished {
        success: status.success(),
        code: status.code(),
        stdout,
        stderr,
    }
}

/// Waits for `child` to end; `None` if it has not after `limit`: then it is killed, by its id.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn from_start(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("a readable file");
    String::from_utf8_lossy(&bytes).into_owned()
}
