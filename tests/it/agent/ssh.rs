//! Clones over SSH, from a real sshd on the loopback address.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::environment::{Environment, eventually};
use super::git_server::repository;
use crate::control_plane::{skipped, text_of};

/// A running sshd that lets one key in.
pub(crate) struct Sshd {
    directory: TempDir,
    process: Child,
    port: u16,
}

impl Sshd {
    /// Starts one; `None` (said on standard error) where there is none.
    pub(crate) async fn start() -> Option<Self> {
        let program = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            skipped("there is no sshd (Debian: openssh-server)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for key in ["host", "client", "stranger"] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"];
            text_of(Command::new("ssh-keygen").args(arguments).arg(path(key)).output().unwrap());
        }
        fs::copy(path("client.pub"), path("authorized")).unwrap();
        // The superuser's sshd wants this directory, which the machine's own start-up would make.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            path("host").display(),
            path("authorized").display()
        );
        fs::write(path("config"), config).unwrap();
        let process = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { directory, process, port };
        eventually("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
        Some(server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn url(&self, name: &str) -> String {
        let user = text_of(Command::new("id").arg("-un").output().unwrap());
        let path = self.path(&format!("{name}.git"));
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, path.display())
    }

    fn known_hosts(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.read(&format!("{key}.pub")))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_repository_is_cloned_over_ssh_with_the_mounted_key() {
    let Some(server) = Sshd::start().await else { return };
    repository(server.directory.path(), "checkout", &["main"]);
    let mut environment = Environment::new();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    let waiting = environment.until(|status| status["reason"] == "WaitingForCredentials").await;
    assert!(waiting["message"].as_str().unwrap().contains("gitCredentials.sshPrivateKey"), "{waiting}");

    // As people paste it: without the last line end, and with those of another system.
    environment.secret("git-ssh-private-key", &server.read("client").trim_end().replace('\n', "\r\n"));
    environment.secret("git-known-hosts", &server.known_hosts("host"));

    environment.until(|status| status["ready"] == true).await;
    let copy = environment.root().join("config/.claude-manager/git-ssh-private-key");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!environment.log().contains("PRIVATE KEY"), "{}", environment.log());
    // Somebody's shell reaches the server by the same key.
    let clone = environment.root().join("workspace/checkout");
    text_of(environment.shell("git").current_dir(&clone).args(["fetch", "origin"]).output().unwrap());
    // A key that was taken back is gone from the volume too.
    fs::remove_file(environment.root().join("etc/claude-manager/project-secrets/git-ssh-private-key")).unwrap();
    eventually("the copy to go", || (!copy.exists()).then_some(())).await;
    let output = environment.shell("git").current_dir(&clone).args(["fetch", "origin"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_host_are_told_apart() {
    let Some(server) = Sshd::start().await else { return };
    repository(server.directory.path(), "checkout", &["main"]);
    for (key, hosts, word) in [
        ("stranger", "host", "the SSH key is refused"),
        ("client", "stranger", "gitCredentials.knownHosts"),
        ("authorized", "host", "the SSH key"),
    ] {
        let mut environment = Environment::new();
        environment.secret("git-ssh-private-key", &server.read(key));
        environment.secret("git-known-hosts", &server.known_hosts(hosts));
        environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
        let status = environment.until(|status| status["reason"] == "CloneFailed").await;
        assert!(status["message"].as_str().unwrap().contains(word), "{key} {hosts}: {status}\n{}", environment.log());
    }
}

#[tokio::test]
async fn the_key_is_offered_to_the_repositorys_own_host_alone() {
    let Some(server) = Sshd::start().await else { return };
    repository(server.directory.path(), "checkout", &["main"]);
    let mut environment = Environment::new();
    environment.secret("git-ssh-private-key", &server.read("client"));
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    environment.until(|status| status["ready"] == true).await;

    // The same server under another name, as a submodule might name it.
    let elsewhere = server.url("checkout").replace("127.0.0.1", "localhost");
    let output = environment.shell("git").args(["ls-remote", &elsewhere]).output().unwrap();

    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
    text_of(environment.shell("git").args(["ls-remote", &server.url("checkout")]).output().unwrap());
}
