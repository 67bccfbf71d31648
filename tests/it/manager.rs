//! The real program under test: a process of its own with its own data directory, driven over HTTP and Git.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program as Cargo built it.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_claude-manager");

/// A running manager; stopped and removed with its value.
pub(crate) struct Manager {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    /// The limit of open files, as arguments of `ulimit`.
    files: Option<&'static str>,
    process: Option<Child>,
    address: String,
    http: reqwest::Client,
}

impl Manager {
    /// Starts one with the embedded cluster.
    pub(crate) fn embedded() -> Self {
        Self::start(&[])
    }

    /// Starts one with a limit of open files: `-n 1024`, or `-S -n 1024` for the soft one alone.
    pub(crate) fn with_files(files: &'static str) -> Self {
        Self::start_with(&[], Some(files))
    }

    /// Starts one with further environment variables.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_with(environment, None)
    }

    fn start_with(environment: &[(&str, &str)], files: Option<&'static str>) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut manager = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            environment,
            files,
            process: None,
            address: String::new(),
            http: crate::http::client(),
        };
        manager.run();
        manager
    }

    /// A command of the program with this manager's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.files {
            None => Command::new(PROGRAM),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit {files} && exec \"$0\" \"$@\""), PROGRAM]);
                shell
            }
        };
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("DATA_DIR", self.data())
            .env("PORT", "0")
            .env("NODE_ENV", "development")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Starts the process and waits until it serves.
    pub(crate) fn run(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("stderr.log"))
            .expect("a log file");
        let mut process = self.command(&["serve"]).stdout(Stdio::piped()).stderr(log).spawn().expect("the program");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut seen = Vec::new();
        let address = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(rest) = line.split("is ready: http://").nth(1) {
                        break rest.split_whitespace().next().expect("an address").to_owned();
                    }
                    seen.push(line);
                }
                _ => panic!("the program did not start:\n{}\n{}", seen.join("\n"), self.log()),
            }
        };
        let path = self.directory.path().join("stdout.log");
        std::thread::spawn(move || {
            use std::io::Write;
            let mut file = std::fs::File::options().create(true).append(true).open(path).expect("a log file");
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(file, "{line}");
            }
        });
        self.address = address;
        self.process = Some(process);
    }

    /// Sets an environment variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Kills the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill -9");
            process.wait().expect("an end");
        }
    }

    /// Asks the process to end, as Ctrl-C does, and waits for it; how long that took.
    pub(crate) fn interrupt(&mut self) -> Duration {
        let begun = Instant::now();
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("SIGINT");
            while process.try_wait().expect("a child").is_none() {
                if begun.elapsed() > Duration::from_secs(20) {
                    process.kill().expect("kill -9");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        begun.elapsed()
    }

    /// The agents that live in this manager's workspaces, as their locks say.
    pub(crate) fn agents(&self) -> Vec<i32> {
        let names = |directory: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let volumes = names(&self.data().join("volumes")).into_iter().flat_map(|namespace| names(&namespace));
        let locks = volumes.filter_map(|volume| {
            let text = std::fs::read_to_string(volume.join(".claude-manager/agent.lock")).ok()?;
            let pid = serde_json::from_str::<Value>(&text).ok()?["pid"].as_i64()?;
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            line.contains(&self.directory.path().display().to_string()).then_some(pid as i32)
        });
        locks.collect()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A place beside the data directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("stdout.log") + &read("stderr.log")
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.data().join("admin-token")).expect("the token").trim().to_owned()
    }

    /// A URL of this manager.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request as the administrator.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, self.url(path)).bearer_auth(self.token());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends a request and expects this status.
    pub(crate) async fn expect(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let (found, answer) = self.api(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer:#}\n{}", self.log());
        answer
    }

    /// Waits until the project is as `wanted`.
    pub(crate) async fn project_until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (_, project) = self.api("GET", &format!("/api/projects/{name}"), None).await;
            if wanted(&project) {
                return project;
            }
            assert!(Instant::now() < deadline, "never as wanted: {project:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clones the state repository; the path of the clone.
    pub(crate) fn clone_state(&self, name: &str) -> PathBuf {
        let clone = self.beside(name);
        let source = self.data().join("state.git");
        let output = git(self.directory.path(), &["clone", "-q", &source.display().to_string(), name]);
        assert!(output.status.success(), "{output:?}");
        clone
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.interrupt();
        // Those of a manager that the test killed.
        for pid in self.agents().into_iter().filter_map(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Runs git in a directory.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=Ana Lopes", "-c", "user.email=ana@example.org"])
        .args(arguments)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git")
}

/// Runs git and gives what it printed; fails the test when git does.
pub(crate) fn git_ok(directory: &Path, arguments: &[&str]) -> String {
    let output = git(directory, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
