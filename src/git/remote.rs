//! A remote as the source of truth: the local repository mirrors its branch.
//!
//! A commit is made on the last fetched head and pushed with that head as the expected old value; only when the remote
//! took it does the local branch move. When the remote has moved, the new head is fetched and the caller makes its edit
//! again. No state is kept beside the refs, so a process killed anywhere starts again with a fetch.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::objects::{object_id, revision};
use super::process::{RunError, git, run};
use super::{CommitError, Repository, WriteLock, refs};
use crate::project::{ErrorKind, Revision};

/// Where a fetch puts what it got, before the branch follows.
const FETCHED: &str = "refs/claude-manager/fetched";
/// How long one fetch or push may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How to be let in.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing: a file path, or a server that asks nothing.
    #[default]
    None,
    /// A token for https.
    Token {
        /// The user beside it; the one that the server's maker asks for when absent.
        user: Option<String>,
        /// The token.
        token: SecretString,
    },
    /// A private key for ssh.
    SshKey {
        /// The key in OpenSSH's format.
        private_key: SecretString,
        /// The server's host keys; the first one that is seen is trusted when absent.
        known_hosts: Option<String>,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token { .. } => "Token(…)",
            Self::SshKey { .. } => "SshKey(…)",
        })
    }
}

/// A remote repository.
#[derive(Clone, Debug)]
pub struct Remote {
    url: String,
    credentials: Credentials,
}

/// Why the remote did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {message}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct RemoteError {
    /// What was tried: `fetching from https://…`.
    pub what: String,
    /// What git said, without secrets.
    pub message: String,
    /// What to do.
    pub hint: Option<&'static str>,
    /// Whether the remote answered and said no.
    pub refused: bool,
}

impl RemoteError {
    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        if self.refused { ErrorKind::Conflict } else { ErrorKind::Unavailable }
    }
}

impl Remote {
    /// A remote at `url`: `https://…`, `ssh://…`, `user@host:path` or a directory.
    ///
    /// # Errors
    /// [`RemoteError`] when the address is of another kind, carries a password, or does not go with the credentials.
    pub fn new(url: &str, credentials: Credentials) -> Result<Self, RemoteError> {
        let refuse = |message: &str| {
            Err(RemoteError {
                what: "the address of the repository".to_owned(),
                message: message.to_owned(),
                hint: None,
                refused: true,
            })
        };
        if url.is_empty() || url.starts_with('-') || url.contains(['\n', '\r', '\0']) {
            return refuse("it is empty, starts with '-' or has a line break");
        }
        if let Some((scheme, rest)) = url.split_once("://") {
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
                return refuse("it must not carry a password; give the token apart");
            }
            let here = ["localhost", "127.0.0.1", "[::1]"];
            let host = authority.rsplit('@').next().unwrap_or_default();
            let local = here.iter().any(|name| host == *name || host.starts_with(&format!("{name}:")));
            match (scheme, &credentials) {
                ("https" | "http", Credentials::SshKey { .. }) => return refuse("an ssh key does not go with http"),
                ("http", Credentials::Token { .. }) if !local => return refuse("a token must not go over plain http"),
                ("ssh" | "file" | "git", Credentials::Token { .. }) => return refuse("a token goes with https only"),
                ("https" | "http" | "ssh" | "file" | "git", _) => {}
                _ => return refuse("it must be https://…, ssh://…, user@host:path or a directory"),
            }
        }
        Ok(Self { url: url.to_owned(), credentials })
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a branch, without fetching anything into a repository: who only wants to know whether the remote answers.
    /// `scratch` is a directory for the key file.
    ///
    /// # Errors
    /// [`RemoteError`] when the remote does not answer.
    pub fn branch_tip(&self, scratch: &Path, branch: &str) -> Result<Option<String>, RemoteError> {
        let output = self.run(scratch, "asking", &["ls-remote", "--heads", "--", &self.url, branch])?;
        if !output.success {
            return Err(self.failure("asking", &output.stderr, false));
        }
        let wanted = format!("refs/heads/{branch}");
        let mut lines = output.stdout.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines.find(|(_, name)| *name == wanted).map(|(id, _)| id.to_owned()))
    }

    /// Asks for the names of all branches; none for an empty repository. `scratch` is a directory for the key file.
    ///
    /// # Errors
    /// [`RemoteError`] when the remote does not answer.
    pub fn branches(&self, scratch: &Path) -> Result<Vec<String>, RemoteError> {
        let output = self.run(scratch, "asking", &["ls-remote", "--heads", "--", &self.url])?;
        if !output.success {
            return Err(self.failure("asking", &output.stderr, false));
        }
        let lines = output.stdout.lines().filter_map(|line| line.split_once("\trefs/heads/"));
        Ok(lines.map(|(_, name)| name.to_owned()).collect())
    }

    fn run(&self, git_dir: &Path, what: &str, arguments: &[&str]) -> Result<super::process::Output, RemoteError> {
        self.run_within(git_dir, what, arguments, LIMIT)
    }

    /// Runs `git` on the repository at `git_dir` with the credentials at hand, for at most `limit`; no credential is on the
    /// command line.
    pub(super) fn run_within(
        &self,
        git_dir: &Path,
        what: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<super::process::Output, RemoteError> {
        let fail =
            |message: String, hint| RemoteError { what: format!("{what} {}", self.url), message, hint, refused: false };
        let mut command = git(git_dir);
        let _key = self
            .prepare(git_dir, &mut command)
            .map_err(|error| fail(format!("the key file cannot be written: {error}"), None))?;
        command.args(arguments);
        let mut output = run(command, limit).map_err(|error| match error {
            RunError::Start(error) => fail(error.to_string(), Some("install git, and have it on the PATH")),
            RunError::TimedOut(limit) => {
                fail(format!("no answer within {} seconds", limit.as_secs()), Some("check the network and the address"))
            }
        })?;
        output.stderr = self.mask(&output.stderr);
        Ok(output)
    }

    fn prepare(&self, git_dir: &Path, command: &mut Command) -> std::io::Result<Option<KeyFile>> {
        match &self.credentials {
            Credentials::None => {
                command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10");
                Ok(None)
            }
            Credentials::Token { user, token } => {
                let (origin, url_user) = origin(&self.url);
                let user = url_user.map(str::to_owned).or_else(|| user.clone());
                let user = user.unwrap_or_else(|| default_user(&origin).to_owned());
                // For this server only: a redirect elsewhere must not get the token.
                let helper = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                              \"$CLAUDE_MANAGER_GIT_USER\" \"$CLAUDE_MANAGER_GIT_TOKEN\"; }; f";
                command
                    .arg("-c")
                    .arg(format!("credential.{origin}.helper={helper}"))
                    .env("CLAUDE_MANAGER_GIT_USER", user)
                    .env("CLAUDE_MANAGER_GIT_TOKEN", token.expose_secret());
                Ok(None)
            }
            Credentials::SshKey { private_key, known_hosts } => {
                let key = KeyFile::write(git_dir, private_key.expose_secret())?;
                let hosts = git_dir.join("claude-manager.known-hosts");
                let checking = match known_hosts {
                    Some(text) => {
                        fs::write(&hosts, text)?;
                        "yes"
                    }
                    None => "accept-new",
                };
                command.env(
                    "GIT_SSH_COMMAND",
                    format!(
                        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=10 \
                         -o UserKnownHostsFile={} -o StrictHostKeyChecking={checking}",
                        shell_quoted(&key.0),
                        shell_quoted(&hosts),
                    ),
                );
                Ok(Some(key))
            }
        }
    }

    /// Takes secrets out of what git printed.
    fn mask(&self, text: &str) -> String {
        match &self.credentials {
            Credentials::Token { token, .. } if !token.expose_secret().is_empty() => {
                text.replace(token.expose_secret(), "***")
            }
            _ => text.to_owned(),
        }
    }

    pub(super) fn failure(&self, what: &str, stderr: &str, refused: bool) -> RemoteError {
        let line = stderr
            .lines()
            .map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: ").trim())
            .find(|line| !line.is_empty() && !line.starts_with("To "))
            .unwrap_or("git failed without a word");
        let message: String = line.chars().filter(|c| !c.is_control()).take(500).collect();
        RemoteError { what: format!("{what} {}", self.url), message, hint: hint(stderr), refused }
    }
}

impl Repository {
    /// Brings the mirror to its remote's branch. Returns whether the head moved; false without a remote.
    ///
    /// # Errors
    /// [`CommitError::Remote`] when the remote does not answer; the mirror stays as it was.
    pub fn fetch(&self) -> Result<bool, CommitError> {
        let Some(remote) = self.remote() else { return Ok(false) };
        let fetched = self.fetch_objects(remote)?;
        // The lock is not held while the network is waited for.
        let lock = self.lock()?;
        if let (Some(head), Some(old)) = (self.head()?, fetched)
            && head != old
            && self.is_ancestor(old, head)?
        {
            // A push of ours overtook this fetch, or somebody took commits back. Under the lock no push can: ask again.
            let fetched = self.fetch_objects(remote)?;
            return self.follow(fetched, &lock);
        }
        self.follow(fetched, &lock)
    }

    fn fetch_objects(&self, remote: &Remote) -> Result<Option<Revision>, CommitError> {
        let _one = self.fetching().lock().unwrap_or_else(PoisonError::into_inner);
        let refspec = format!("+{}:{FETCHED}", self.branch());
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            &remote.url,
            &refspec,
        ];
        let output = remote.run(self.path(), "fetching from", &arguments)?;
        if output.success {
            return Ok(refs::find(self.refs(), FETCHED)?.map(|id| revision(&id)));
        }
        if output.stderr.contains("couldn't find remote ref") {
            return Ok(None);
        }
        Err(remote.failure("fetching from", &output.stderr, false).into())
    }

    /// Moves the local branch to what was fetched.
    fn follow(&self, fetched: Option<Revision>, lock: &WriteLock) -> Result<bool, CommitError> {
        let head = self.head()?;
        let Some(fetched) = fetched.filter(|_| fetched != head) else { return Ok(false) };
        if let Some(head) = head
            && !self.is_ancestor(head, fetched)?
        {
            tracing::warn!(%head, %fetched, "the remote's branch was rewritten; the remote counts");
        }
        refs::compare_and_swap(self.path(), self.refs(), self.branch(), head, object_id(fetched), lock)?;
        Ok(true)
    }

    /// Pushes `tip`; the remote's branch has to be at `expected`.
    pub(super) fn push(&self, expected: Option<Revision>, tip: Revision, lock: &WriteLock) -> Result<(), CommitError> {
        let Some(remote) = self.remote() else { return Ok(()) };
        let branch = self.branch();
        let lease = format!("--force-with-lease={branch}:{}", expected.map(|old| old.to_string()).unwrap_or_default());
        let refspec = format!("{tip}:{branch}");
        let output = remote.run(
            self.path(),
            "pushing to",
            &["push", "--porcelain", "--no-verify", &lease, &remote.url, &refspec],
        )?;
        if output.success {
            return Ok(());
        }
        // Whatever the reason was: if the remote is elsewhere now, the edit is made again there.
        let fetched = self.fetch_objects(remote)?;
        if fetched == Some(tip) {
            // The push came through, only its answer was lost.
            return Ok(());
        }
        if fetched != expected {
            self.follow(fetched, lock)?;
            return Err(CommitError::HeadMoved { expected, found: fetched });
        }
        let rejected = output.stdout.lines().find_map(|line| line.strip_prefix("!\t"));
        let text = rejected.map_or(output.stderr.clone(), |line| format!("{}\n{}", remote_says(&output.stderr), line));
        Err(remote.failure("pushing to", text.trim_start(), rejected.is_some()).into())
    }
}

/// The lines that the server itself printed.
pub(super) fn remote_says(stderr: &str) -> String {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A private key on disk while a command runs, for its owner's eyes only.
struct KeyFile(PathBuf);

impl KeyFile {
    fn write(git_dir: &Path, key: &str) -> std::io::Result<Self> {
        let path = git_dir.join(format!("claude-manager.{}.key", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        let kept = Self(path);
        // ssh wants a line end after the last line.
        writeln!(file, "{}", key.trim_end())?;
        Ok(kept)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// `https://host:port` and the user of an http address.
fn origin(url: &str) -> (String, Option<&str>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{scheme}://{host}"), Some(user)),
        None => (format!("{scheme}://{authority}"), None),
    }
}

/// The user name that goes with a token, where the server cares.
fn default_user(origin: &str) -> &'static str {
    if origin.contains("bitbucket") {
        "x-token-auth"
    } else if origin.contains("gitlab") {
        "oauth2"
    } else {
        "x-access-token"
    }
}

fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// What to do about what git said.
fn hint(stderr: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 10] = [
        ("Authentication failed", "check the token and its rights on the repository"),
        ("could not read Username", "the server wants a token"),
        ("could not read Password", "the server wants a token"),
        ("Permission denied (publickey", "register the public key with the repository, with write access"),
        ("Host key verification failed", "give the server's host key as known_hosts"),
        ("Could not resolve host", "check the address, and the name service of this machine"),
        ("Connection refused", "check the address and port"),
        ("does not appear to be a git repository", "check the path"),
        ("not found", "check the address, and that the token may see the repository"),
        ("protected branch", "let the manager's account push to the branch, or choose another branch"),
    ];
    HINTS.iter().find(|(sign, _)| stderr.contains(sign)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_programs_or_carry_passwords_are_refused() {
        for url in ["", "-x", "ext::sh -c id", "https://u:p@host/x", "http://host/x", "ftp://h/x", "a\nb"] {
            let token = Credentials::Token { user: None, token: "t".into() };
            let remote = Remote::new(url, token);
            assert!(remote.is_err() || url.starts_with("ext::"), "{url}");
        }
        assert!(Remote::new("http://localhost:3000/x", Credentials::default()).is_ok());
    }

    #[test]
    fn a_token_is_shown_to_its_own_server_only_and_never_printed() {
        assert_eq!(origin("https://me@git.example:8443/x.git"), ("https://git.example:8443".to_owned(), Some("me")));
        let remote =
            Remote::new("https://git.example/x", Credentials::Token { user: None, token: "s3cret".into() }).unwrap();
        assert_eq!(remote.mask("fatal: s3cret is wrong"), "fatal: *** is wrong");
        assert!(!format!("{remote:?}").contains("s3cret"));
    }
}
