// SPDX-License-Identifier: Apache-2.0
//! Child processes, their output, and where built things are.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// The top of the checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A built file of the `quick` profile, for instance `proxyless` or `libproxyless.a`.
pub fn target(file: &str) -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let path = folder.join("quick").join(file);
    assert!(path.exists(), "{} is missing: `make build` builds it", path.display());
    path
}

/// Whether a tool is there; a test that needs a missing one says so and ends.
pub fn tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !found {
        // Past the test runner's capture, for the runner of all tests to count.
        let _ = writeln!(io::stderr(), "SKIPPED: {name} is not installed");
    }
    found
}

/// The `java` that the environment names (`tests/jdk` knows some), by default the one on the path.
pub fn java() -> Command {
    Command::new(env::var_os("PXL_JAVA").unwrap_or_else(|| "java".into()))
}

/// A `java` command with the agent, switched on by property, towards a control plane.
pub fn jvm(server: &str) -> Command {
    let mut command = java();
    command
        .arg(format!("-javaagent:{}", repository().join("java-shim/dist/target/proxyless-agent.jar").display()))
        .arg("-Dprofile.micro.service.envoy.xds.enable=true")
        .arg(format!("-Dproxyless.server={server}"))
        .arg("-Xmx256m");
    command
}

/// Polls until `what` holds.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    poll(probe).unwrap_or_else(|| panic!("not in time: {what}"))
}

fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = probe();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(PAUSE);
    }
}

/// A child process that is killed by its own pid when the test ends, however it ends.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    folder: TempDir,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(file("out")).stderr(file("err")).spawn().unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin, folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn out(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    pub fn err(&self) -> String {
        fs::read_to_string(self.folder.path().join("err")).unwrap()
    }

    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line of standard output that satisfies `wanted`.
    pub fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut ended = false;
        let found = poll(|| {
            ended = self.child.try_wait().unwrap().is_some();
            let found = self.out().lines().rfind(|line| wanted(line)).map(str::to_owned);
            (found.is_some() || ended).then_some(found)
        });
        let why = if ended { "ended before" } else { "not in time:" };
        found.flatten().unwrap_or_else(|| panic!("{why} {what}\n--- out\n{}\n--- err\n{}", self.out(), self.err()))
    }

    pub fn wait(&mut self) -> ExitStatus {
        let status = poll(|| self.child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("does not end\n--- out\n{}\n--- err\n{}", self.out(), self.err()))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
