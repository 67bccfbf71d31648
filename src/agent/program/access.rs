//! Makes the mounted credentials known to Git, ssh and Claude Code, for the clone and for everybody who works there later.
//!
//! The agent keeps files of its own in `config/.claude-manager` and writes one line, an include, into a person's Git
//! configuration. Files of a person are never replaced.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::layout::Layout;
use super::source::{Source, Way};
use super::{AgentError, World, git, secrets};
use crate::project::SecretKey;

/// Writes everything. What fails is told and does not keep the agent from running: a clone without credentials may work.
pub(super) async fn prepare(world: &World) {
    let layout = &world.layout;
    let tell = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            tracing::warn!(%error, "{what} cannot be written; work without it, and look at the volume");
        }
    };
    tell("the agent's folder in the home", private_directory(&layout.own_config()));
    tell("Claude Code's settings", claude_settings(layout));
    let Ok(Some(source)) = &world.source else { return };
    tell("ssh's configuration", renew(layout, source));
    tell("Git's configuration", git_settings(layout, source).await);
}

/// Makes the directory that children put temporary files into, where the machine's own is not the environment's.
pub(super) fn temporary(layout: &Layout) -> Result<(), AgentError> {
    if layout.is_whole_machine() {
        return Ok(());
    }
    let path = layout.temporary();
    fs::create_dir_all(&path).map_err(AgentError::file("cannot be made", path))
}

/// Brings what is copied from the mounted files up to date: the SSH key, which ssh takes only with its owner's rights, and
/// the hosts' keys beside it.
pub(super) fn renew(layout: &Layout, source: &Source) -> io::Result<()> {
    let key = secrets::read(&layout.project_secret(SecretKey::GitSshPrivateKey));
    let hosts = secrets::read(&layout.project_secret(SecretKey::GitKnownHosts));
    for (path, content) in [(key_file(layout), &key), (hosts_file(layout), &hosts)] {
        match content {
            // ssh wants a line end after the last line, and takes none of another system.
            Some(text) => replace(&path, &format!("{}\n", text.expose_secret().replace("\r\n", "\n")))?,
            None => remove(&path)?,
        }
    }
    replace(&ssh_file(layout), &ssh_settings(layout, source, key.is_some(), hosts.is_some()))
}

/// The ssh that Git is to use.
pub(super) fn ssh_command(layout: &Layout) -> String {
    format!("ssh -F {}", shell_quoted(&ssh_file(layout)))
}

/// The command that Git asks for the token; `None` where no token may be sent.
pub(super) fn helper(layout: &Layout, source: &Source) -> Option<String> {
    let Way::Web { origin, user, safe: true } = &source.way else { return None };
    let program = std::env::current_exe().ok()?;
    Some(format!(
        "!{} agent credential --origin {origin} --user {user} --token-file {}",
        shell_quoted(&program),
        shell_quoted(&layout.project_secret(SecretKey::GitToken))
    ))
}

/// The key is offered to the repository's own host and to no other. That host is known by the keys that were given, or by
/// the one that it showed first; others, where submodules may be, by the one that they showed first.
fn ssh_settings(layout: &Layout, source: &Source, key: bool, hosts: bool) -> String {
    let known = layout.own_config().join("known_hosts");
    let mut text = "# Written by the agent at every start. Your own settings go into ../.ssh/config.\n".to_owned();
    let mut others = "*".to_owned();
    text.push_str(&format!("Include {}\n", ssh_quoted(&layout.config().join(".ssh/config"))));
    if let Way::Ssh { host } = &source.way {
        text.push_str(&format!("Host {host}\n"));
        if key {
            text.push_str(&format!("  IdentityFile {}\n", ssh_quoted(&key_file(layout))));
            others = format!("* !{host}");
        }
        if hosts {
            text.push_str("  StrictHostKeyChecking yes\n");
            text.push_str(&format!("  UserKnownHostsFile {}\n", ssh_quoted(&hosts_file(layout))));
        }
    }
    // Identities add up, of everything else the first value that is found counts.
    text.push_str(&format!("Host {others}\n  IdentityFile none\n"));
    text.push_str("Host *\n  IdentitiesOnly yes\n  BatchMode yes\n  ConnectTimeout 15\n");
    text.push_str("  ServerAliveInterval 30\n  StrictHostKeyChecking accept-new\n");
    text.push_str(&format!("  UserKnownHostsFile {}\n", ssh_quoted(&known)));
    text
}

/// Points later shells to the same credentials, by one line in a person's configuration.
async fn git_settings(layout: &Layout, source: &Source) -> io::Result<()> {
    let mut text = "# Written by the agent at every start.\n".to_owned();
    if let (Way::Web { origin, .. }, Some(helper)) = (&source.way, helper(layout, source)) {
        text.push_str(&format!("[credential \"{origin}\"]\n\thelper = {}\n", git_quoted(&helper)));
    }
    if matches!(source.way, Way::Ssh { .. }) {
        text.push_str(&format!("[core]\n\tsshCommand = {}\n", git_quoted(&ssh_command(layout))));
    }
    let path = layout.own_config().join("gitconfig");
    replace(&path, &text)?;
    let path = path.display().to_string();
    let config = |arguments: &[&str]| {
        let mut command = git::git(layout, source);
        command.args(["config", "--global"]).args(arguments);
        command
    };
    let there = config(&["--get-all", "include.path"]).output().await.map_err(|error| match error.kind() {
        // Not a file of the volume: the program.
        ErrorKind::NotFound => io::Error::new(ErrorKind::NotFound, "the image has no git"),
        _ => error,
    })?;
    if String::from_utf8_lossy(&there.stdout).lines().any(|line| line == path) {
        return Ok(());
    }
    let added = config(&["--add", "include.path", &path]).output().await?;
    if added.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&added.stderr).trim().to_owned()))
}

/// Claude Code asks for the key when it needs one, so that a renewed key counts at once. A file that is there is somebody's.
fn claude_settings(layout: &Layout) -> io::Result<()> {
    let directory = layout.claude_config();
    fs::create_dir_all(&directory)?;
    let own = shell_quoted(&layout.project_secret(SecretKey::AnthropicApiKey));
    let default = shell_quoted(&layout.default_secret(SecretKey::AnthropicApiKey));
    let settings = serde_json::json!({ "apiKeyHelper": format!("cat {own} 2>/dev/null || cat {default}") });
    let path = directory.join("settings.json");
    match OpenOptions::new().create_new(true).write(true).open(&path) {
        Ok(mut file) => writeln!(file, "{settings}"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn key_file(layout: &Layout) -> PathBuf {
    layout.own_config().join("git-ssh-private-key")
}

fn hosts_file(layout: &Layout) -> PathBuf {
    layout.own_config().join("git-known-hosts")
}

fn ssh_file(layout: &Layout) -> PathBuf {
    layout.own_config().join("ssh_config")
}

fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Writes a file that only its owner can read, whole or not at all; one that is so already is left alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return fs::set_permissions(path, Permissions::from_mode(0o600));
    }
    let draft = path.with_extension("new");
    remove(&draft)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&draft, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One word for `sh`; plain where it can be.
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One argument in a configuration of ssh, where `%` begins a token.
fn ssh_quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// One value in a configuration of Git.
fn git_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
