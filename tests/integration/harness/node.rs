//! The real program as a process: started on free ports, asked over HTTP, killed by id.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::http::{Answer, request};
use super::wait::{DEADLINE, until};

/// A command of the program with a clean environment.
pub fn wstream<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wstream"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("WSTREAM_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    // Compiling the engine of a language takes long, and its bytes seldom change.
    command.env("WSTREAM_COMPILED", cache().join("compiled"));
    command
}

/// Where what tests install and compile is kept.
pub fn cache() -> PathBuf {
    std::env::var_os("WSTREAM_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/wstream"),
        PathBuf::from,
    )
}

/// What a finished command said.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How to start a node.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    file: Option<PathBuf>,
    data: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl NodeBuilder {
    /// A node on `data` with free ports.
    pub fn new(data: &Path) -> Self {
        Self {
            file: None,
            data: data.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Runs the pipelines of `file`.
    pub fn file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command that `start` runs.
    pub fn command(&self) -> Command {
        let mut command = wstream(["run"]);
        command.args(&self.file);
        command.arg("--data").arg(&self.data);
        command.args(["--http", "127.0.0.1:0", "--search", "127.0.0.1:0"]);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs with `--once` to the end.
    pub fn once(&self) -> Output {
        Output::of(self.command().arg("--once"))
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(&self) -> Node {
        let node = self.spawn();
        node.log.wait("the node to be ready", |log| {
            log.ended || log.search.is_some()
        });
        assert!(
            !node.log.state().ended,
            "the node ended:\n{}",
            node.stderr()
        );
        node
    }

    /// Starts it and does not wait.
    pub fn spawn(&self) -> Node {
        let mut command = self.command();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Log::default());
        let reader = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                reader.line(&line);
            }
            reader.end();
        });
        Node {
            child,
            log,
            builder: self.clone(),
        }
    }
}

/// What the node wrote to stderr.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    text: String,
    http: Option<String>,
    search: Option<String>,
    ended: bool,
}

impl Log {
    fn state(&self) -> std::sync::MutexGuard<'_, LogState> {
        self.state.lock().unwrap()
    }

    fn line(&self, line: &str) {
        let mut state = self.state();
        state.text += line;
        state.text.push('\n');
        let address = |l: &str| {
            l.split("http://")
                .nth(1)
                .map(|a| a.trim_end_matches('/').to_owned())
        };
        if line.starts_with("ready: search") {
            state.search = address(line);
        } else if line.starts_with("ready: page") {
            state.http = address(line);
        }
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn(&LogState) -> bool) {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.state(), DEADLINE, |s| !done(s))
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "waited {DEADLINE:?} for {what}:\n{}",
            state.text
        );
    }
}

/// A running node; killed when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    log: Arc<Log>,
    builder: NodeBuilder,
}

impl Node {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Address of the page and the API.
    pub fn http(&self) -> String {
        self.log
            .state()
            .http
            .clone()
            .expect("a ready node has a page")
    }

    /// Address of the Elasticsearch API.
    pub fn search_address(&self) -> String {
        self.log
            .state()
            .search
            .clone()
            .expect("a ready node has a search listener")
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.log.state().text.clone()
    }

    /// Waits until it writes `text` to stderr.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) {
        self.log
            .wait(text, |log| log.ended || log.text.contains(text));
        assert!(
            self.stderr().contains(text),
            "ended without {text:?}:\n{}",
            self.stderr()
        );
    }

    /// GET on :8080, 200 expected.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// A request to :8080.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(&self.http(), method, path, headers, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}\n{}", self.stderr()))
    }

    /// A request to :9200.
    #[track_caller]
    pub fn search(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        request(
            &self.search_address(),
            method,
            path,
            &headers,
            body.as_bytes(),
        )
        .unwrap_or_else(|e| panic!("{method} {path}: {e}\n{}", self.stderr()))
    }

    /// Documents of an index; 0 while there is no such index.
    #[track_caller]
    pub fn count(&self, index: &str) -> u64 {
        let answer = self.search("GET", &format!("/{index}/_count"), "");
        if answer.status == 404 {
            return 0;
        }
        answer.json()["count"]
            .as_u64()
            .unwrap_or_else(|| panic!("{}", answer.text()))
    }

    /// Waits until an index has `count` documents.
    #[track_caller]
    pub fn wait_count(&self, index: &str, count: u64) {
        until(
            &format!("{count} documents in {index}\n{}", self.stderr()),
            || (self.count(index) == count).then_some(()),
        );
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) -> NodeBuilder {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.builder.clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.log.wait("the end of stderr", |log| log.ended);
        (status, self.stderr())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already ended is fine: a test that waited for the end gets here too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
