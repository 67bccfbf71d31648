//! Claude Code: whether the environments of this machine find the program, and whether there are default credentials.

use super::Finding;
use crate::agent::find_claude;
use crate::app::wiring;
use crate::config::Settings;
use crate::git::Repository;
use crate::project::{Files, RepoPath};

/// The keys of a Secret that Claude Code takes its credentials from.
const CREDENTIALS: [&str; 3] = ["anthropic-api-key", "claude-code-oauth-token", "anthropic-auth-token"];

/// All findings about it.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    // On a cluster the program is in the environment's image.
    if wiring::target(settings).is_none() {
        findings.push(program(settings).await);
    }
    findings.push(credentials(settings));
    findings
}

async fn program(settings: &Settings) -> Finding {
    const SUBJECT: &str = "Claude Code";
    match find_claude(settings.claude_bin.clone()).await {
        Ok((path, version)) => Finding::fine(SUBJECT, format!("{version}, {}", path.display())),
        Err(message) => {
            let (message, hint) = message.split_once(". ").unwrap_or((&message, "install it"));
            Finding::warning(SUBJECT, message.replace("in this environment", "here"), hint)
        }
    }
}

fn credentials(settings: &Settings) -> Finding {
    const SUBJECT: &str = "credentials";
    let path = settings.data_dir.join("state.git");
    if !path.exists() && settings.secrets.default_anthropic_api_key.is_some() {
        return Finding::fine(SUBJECT, "DEFAULT_ANTHROPIC_API_KEY becomes the default of all projects");
    }
    // The names of a SOPS file's keys are not encrypted.
    let found = defaults(settings).and_then(|text| {
        CREDENTIALS.into_iter().find(|key| text.lines().any(|line| line.trim_start().starts_with(&format!("{key}:"))))
    });
    match found {
        Some(key) => Finding::fine(SUBJECT, format!("{key} is the default of all projects")),
        None => Finding::warning(
            SUBJECT,
            "there is no default for all projects; each needs its own",
            "an API key (anthropic-api-key), a token of `claude setup-token` (claude-code-oauth-token), or a gateway \
             (anthropic-base-url and anthropic-auth-token): for one project on its page or by the API, as the default of \
             all with `sops secrets.sops.yaml` in the state repository (before its first start: \
             DEFAULT_ANTHROPIC_API_KEY)",
        ),
    }
}

/// The file of the default secrets at the head.
fn defaults(settings: &Settings) -> Option<String> {
    let repository = Repository::open(&settings.data_dir.join("state.git"), Some(&settings.state.branch)).ok()?;
    let tree = repository.tree(repository.head().ok()??).ok()?;
    let text = tree.read(&RepoPath::parse("secrets.sops.yaml").ok()?).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}
