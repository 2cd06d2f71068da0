//! Processes of the command, and what they print.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long something may take before the test fails. Nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const SCHEMA: &str = r#"{
    "title": "Board",
    "type": "object",
    "properties": {
        "scheme": {"constant": "comm"},
        "children": {"constant": ["notes"]},
        "count": {"type": "integer"},
        "list": {"type": "array"}
    }
}"#;

/// Tries until it is so.
pub(crate) fn until(what: &str, mut is_it: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_it() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A process of the command, and the events it prints.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperty"));
        // Nothing of the caller's environment decides.
        for name in [
            "NODE",
            "DOMAIN",
            "STORE",
            "USER",
            "TIMEOUT",
            "OUTPUT",
            "LOG",
            "DURABILITY",
            "CONFIG",
            "ADMIN",
            "NODE_ADMIN",
            "NODE_ADMISSION",
            "NODE_ISSUER_KEYS",
            "NODE_TLS_CERT",
            "NODE_TLS_KEY",
            "NODE_DEV_TLS",
            "NODE_DISCOVERY",
            "TOKEN_FILE",
            "CA",
            "POLICY",
        ] {
            command.env_remove(format!("HYPERTY_{name}"));
        }
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "event": line }));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Running { stdin: child.stdin.take(), child, events, stderr: Some(stderr) }
    }

    /// Gives it a line to read.
    pub(crate) fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its input.
    pub(crate) fn eof(&mut self) {
        self.stdin = None;
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Value {
        match self.events.recv_timeout(DEADLINE) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => panic!("no event in time"),
            Err(RecvTimeoutError::Disconnected) => {
                let (code, stderr) = self.wait();
                panic!("ended with {code:?}: {stderr}")
            }
        }
    }

    /// The next event, which must be of this name.
    pub(crate) fn expect(&mut self, name: &str) -> Value {
        let event = self.next();
        assert_eq!(event["event"], name, "{event}");
        event
    }

    /// Passes over events until one of this name that satisfies `is_it`.
    pub(crate) fn until(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let event = self.next();
            if event["event"] == name && is_it(&event) {
                return event;
            }
            assert!(Instant::now() < deadline, "no such {name:?} in time");
        }
    }

    /// What it printed until it ended, its exit code and its logs.
    pub(crate) fn output(mut self) -> (Vec<Value>, i32, String) {
        let mut events = Vec::new();
        let deadline = Instant::now() + DEADLINE;
        while let Ok(event) = self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            events.push(event);
        }
        let (code, stderr) = self.wait();
        (events, code.expect("no signal ended it"), stderr)
    }

    /// Waits for its end: exit code, unless a signal ended it, and logs.
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        self.stdin = None;
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default();
        (status.code(), stderr)
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it politely to leave, and checks that it does.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let (code, stderr) = self.wait();
        assert_eq!(code, Some(0), "{stderr}");
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message node and a folder.
pub(crate) struct Stage {
    pub(crate) node: Running,
    pub(crate) url: String,
    pub(crate) folder: Folder,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::with(Folder::new(), &[])
    }

    /// The same with more options of the node.
    pub(crate) fn with(folder: Folder, more: &[&str]) -> Stage {
        std::fs::write(folder.path("schema.json"), SCHEMA).unwrap();
        let mut node = Running::start(&[&["node", "--listen", "127.0.0.1:0"], more].concat());
        let url = text(&node.expect("listening")["url"]);
        Stage { node, url, folder }
    }

    /// Starts a client command at the node.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&[arguments, &["--node", &self.url]].concat())
    }

    /// Runs a client command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Vec<Value>, i32, String) {
        let mut running = self.start(arguments);
        running.eof();
        running.output()
    }

    /// Runs a client command that must succeed with one event.
    pub(crate) fn one(&self, arguments: &[&str]) -> Value {
        let (mut events, code, stderr) = self.run(arguments);
        assert_eq!((code, events.len()), (0, 1), "{events:?} {stderr}");
        events.remove(0)
    }

    /// Starts to report, and returns the object's URL as well.
    pub(crate) fn report(&self, more: &[&str]) -> (Running, String) {
        let schema = self.folder.path("schema.json");
        let mut running = self.start(&[&["report", "--schema", &schema], more].concat());
        let url = text(&running.expect("created")["url"]);
        (running, url)
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hyperty-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) fn set(attribute: &str, value: Value) -> String {
    json!({"attribute": attribute, "value": value}).to_string()
}

/// Applies what an observer printed to what it printed first.
pub(crate) fn replay(events: &[Value]) -> Value {
    use hyperty_model::change::apply;
    use hyperty_model::message::{UpdateBody, UpdateKind};
    let (mut data, mut version) = (Value::Null, None);
    for event in events {
        match event["event"].as_str().unwrap() {
            "snapshot" | "resync" => data = event["data"].clone(),
            "change" => {
                assert_eq!(event["version"].as_u64(), version.map(|version: u64| version + 1), "a hole");
                let update: UpdateBody = serde_json::from_value(event.clone()).unwrap();
                let UpdateKind::Change(change) = update.kind else { panic!("no change: {event}") };
                apply(&mut data, &change).unwrap();
            }
            _ => continue,
        }
        version = event["version"].as_u64();
    }
    data
}
