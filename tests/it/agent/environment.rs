//! One environment: a root as the local runtime makes it, and the agent in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claude_manager::agent::{self, Signer};
use claude_manager::project::ProjectName;
use serde_json::Value;
use tempfile::TempDir;

use crate::manager::PROGRAM;

/// Where the local runtime has the root of a pod, in the manager's data.
const ROOT: &str = "data/pods/team/checkout-env-0/root";

/// The environment of the project `checkout`; its agent ends with it.
pub(super) struct Environment {
    directory: TempDir,
    signer: Signer,
    process: Option<Child>,
    listen: String,
    http: reqwest::Client,
}

impl Environment {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(ROOT);
        for path in ["workspace", "config", "etc/claude-manager/agent-keys"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let signer = Signer::open(&directory.path().join("manager")).unwrap();
        let environment =
            Self { directory, signer, process: None, listen: "127.0.0.1:0".to_owned(), http: crate::http::client() };
        environment.trust(&environment.signer);
        environment
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join(ROOT)
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Adds a manager's key.
    pub(super) fn trust(&self, signer: &Signer) {
        let key = signer.public_key();
        let file = self.root().join("etc/claude-manager/agent-keys").join(format!("{}.pem", key.kid()));
        fs::write(file, key.to_pem()).unwrap();
    }

    /// Writes a key of the project's Secret.
    pub(super) fn secret(&self, key: &str, value: &str) {
        let directory = self.root().join("etc/claude-manager/project-secrets");
        fs::create_dir_all(&directory).unwrap();
        let draft = self.directory.path().join("draft");
        fs::write(&draft, value).unwrap();
        fs::rename(draft, directory.join(key)).unwrap();
    }

    /// The agent, not started yet, with nothing of this process's environment but the PATH.
    pub(super) fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(["agent", "--root"])
            .arg(self.root())
            .args(["--listen", &self.listen])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CLAUDE_MANAGER_PROJECT", "checkout")
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// The agent as the manager starts it on its own machine, not started yet: a first stage without variables, which hides
    /// `hide` and keeps `volumes` writable.
    pub(super) fn launch(&self, hide: &Path, volumes: &[PathBuf], variables: &[(&str, &str)]) -> Command {
        let root = fs::canonicalize(self.root()).unwrap();
        let path = std::env::var("PATH").unwrap();
        let own = [("PATH", path.as_str()), ("CLAUDE_MANAGER_PROJECT", "checkout")];
        let all = own.iter().chain(variables).map(|(name, value)| (OsStr::new(*name), OsStr::new(*value)));
        let input = self.directory.path().join("variables");
        fs::write(&input, agent::encode_variables(all)).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["agent", "launch", "--root"]).arg(&root).arg("--hide").arg(hide);
        for volume in volumes {
            command.arg("--write").arg(volume);
        }
        command.args(["--", "--root"]).arg(root).args(["--listen", &self.listen]);
        command.env_clear().stdin(File::open(input).unwrap());
        command
    }

    pub(super) fn start(&mut self, variables: &[(&str, &str)]) {
        let command = self.command(variables);
        self.spawn(command);
    }

    pub(super) fn start_at(&mut self, listen: &str, variables: &[(&str, &str)]) {
        listen.clone_into(&mut self.listen);
        self.start(variables);
    }

    pub(super) fn spawn(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.process = Some(process);
        let start = Instant::now();
        while !matches!(self.holder(), Some(holder) if holder.pid == self.pid()) {
            assert!(start.elapsed() < Duration::from_secs(30), "the agent did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn holder(&self) -> Option<agent::Holder> {
        // It takes the lock before it writes its name.
        agent::holder(&self.root().join("workspace")).ok().flatten()
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.holder().expect("the agent runs").address
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Kills the agent as a power cut would.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Ends the agent as the kubelet does; its exit code.
    pub(super) fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
        process.wait().unwrap().code()
    }

    /// Asks without a token.
    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("http://{}{path}", self.address())).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The status, as the manager reads it.
    pub(super) async fn status(&self) -> Value {
        let project = ProjectName::parse("checkout").unwrap();
        let token = self.signer.token(&project, "test").unwrap();
        let url = format!("http://{}/agent/v1/status", self.address());
        let response = self.http.get(url).bearer_auth(token).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status.as_u16(), 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until the status is as `wanted`.
    pub(super) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "never as wanted: {status:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What Git finds in a shell of the environment for a server that asks for credentials.
    pub(super) fn fill(&self, protocol: &str, host: &str) -> String {
        let question = self.directory.path().join("question");
        fs::write(&question, format!("protocol={protocol}\nhost={host}\n\n")).unwrap();
        let output =
            self.shell("git").args(["credential", "fill"]).stdin(File::open(question).unwrap()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program as somebody would run it in a terminal of the environment.
    pub(super) fn shell(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root().join("config"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.root().join("workspace"));
        command
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again until there is an answer.
pub(super) async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "waited half a minute for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
