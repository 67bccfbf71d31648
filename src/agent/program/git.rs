//! The one way to the `git` program inside an environment.
//!
//! Nothing asks a person, messages do not depend on a language, and no credential is among arguments or variables: Git
//! asks this program for the token (see [`super::credential`]), and ssh finds the key by the configuration that
//! [`super::access`] writes.

use std::process::Stdio;

use tokio::process::Command;

use super::access;
use super::layout::Layout;
use super::source::{Source, Way};
use crate::project::PASSED;

/// What git may see beside [`PASSED`].
const OWN: [&str; 3] = ["USER", "LOGNAME", "TZ"];

/// A git command for `source`, to be given its arguments. A person's own configuration counts, except for where
/// credentials come from.
pub(super) fn git(layout: &Layout, source: &Source) -> Command {
    let mut settings = vec![
        // A server that stops sending is given up.
        ("http.lowSpeedLimit".to_owned(), "1".to_owned()),
        ("http.lowSpeedTime".to_owned(), "60".to_owned()),
        // A clone that is taken for whole has to be whole after a power cut, too.
        ("core.fsync".to_owned(), "all".to_owned()),
        // Forgets every helper of a person's configuration: what is mounted is what counts.
        ("credential.helper".to_owned(), String::new()),
    ];
    if let Way::Web { origin, .. } = &source.way
        && let Some(helper) = access::helper(layout, source)
    {
        settings.push((format!("credential.{origin}.helper"), helper));
    }
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(PASSED.iter().chain(&OWN).filter_map(|name| Some((*name, std::env::var_os(name)?))))
        .env("HOME", layout.config())
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        // Empty, so that neither the configuration nor ssh's variable names a program that asks.
        .env("GIT_ASKPASS", "")
        .env("GIT_SSH_COMMAND", access::ssh_command(layout))
        // `ext::` would run any program, and `file:` reads what is not the repository's.
        .env("GIT_ALLOW_PROTOCOL", if source.way == Way::Local { "file" } else { "https:http:ssh:git" })
        .env("GIT_CONFIG_COUNT", settings.len().to_string())
        .current_dir(layout.workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !layout.is_whole_machine() {
        command.env("TMPDIR", layout.temporary());
    }
    for (index, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command
}
