//! A process of the command that is going to be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long something may take before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperty"));
        // Nothing of the caller's environment decides.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HYPERTY_")) {
            command.env_remove(name);
        }
        command.args(arguments).args(["--output", "ndjson"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // A kill may cut the last line.
                let Ok(event) = serde_json::from_str(&line) else { return };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("it is piped");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Process { stdin: child.stdin.take(), child, events, stderr: Some(stderr) }
    }

    /// Gives it lines to read.
    pub(crate) fn write(&mut self, lines: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(lines.as_bytes()).and_then(|()| stdin.flush()).expect("it reads");
    }

    /// The next event, which must come.
    pub(crate) fn next(&mut self) -> Value {
        self.events.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no event: {}", self.end()))
    }

    /// Kills it; what it had printed and nobody has read.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("it runs until it is killed");
        self.child.wait().expect("it was killed");
        // Ends when the pipe is empty.
        self.events.iter().collect()
    }

    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.take().map(|stderr| stderr.join().unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes with the test, but stays when it fails, to be looked at.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("hyperty-crash-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("its name is text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what it left is in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Says at the end what was done.
pub(crate) fn tell(kind: &str, cycles: u32, begun: Instant, more: Value) {
    let each = begun.elapsed() / cycles.max(1);
    println!(
        "{}",
        json!({"killed": kind, "cycles": cycles, "ms each": each.as_millis() as u64, "found": more})
    );
}
