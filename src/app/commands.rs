//! The commands that do one thing and end.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::cli::{Build, LoadRestrictor, Reorder, RoleName};
use super::directory::Directory;
use super::past::Past;
use super::wiring::{self, Access};
use crate::config::Settings;
use crate::git::{Quarantine, Repository};
use crate::operations::{self, OnceReport};
use crate::project::Role;
use crate::{auth, change, plan};

/// `build DIR`.
pub(super) fn build(arguments: &Build) -> anyhow::Result<ExitCode> {
    if let Some((flag, reason)) = arguments.refused() {
        bail!("{flag} is not supported: {reason}");
    }
    let options = kustomize::Options {
        restrictions: match arguments.load_restrictor {
            LoadRestrictor::RootOnly => kustomize::Restrictions::RootOnly,
            LoadRestrictor::None => kustomize::Restrictions::None,
        },
        sorted: arguments.reorder == Reorder::Legacy,
        threads: std::thread::available_parallelism().map_or(1, NonZero::get),
    };
    let (files, path) = Directory::open(&arguments.directory)?;
    let (text, warnings) = kustomize::build_yaml(&files, &path, &options, None).map_err(|error| {
        let shown = Directory::shown(&error.to_string());
        match error.hint {
            Some(hint) => anyhow::anyhow!("{shown}\nhint: {hint}"),
            None => anyhow::anyhow!("{shown}"),
        }
    })?;
    for warning in &warnings {
        let _ = writeln!(std::io::stderr(), "# Warning: {warning}");
    }
    match &arguments.output {
        None => print(&text),
        Some(file) if file.is_dir() => bail!("{} is a directory; name a file", file.display()),
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints, and takes a closed pipe (`… | head`) for an end rather than a failure.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// `plan [--ref REV] [--server]`: 2 when something would change.
pub(super) async fn plan(settings: Settings, revision: Option<&str>, server: bool) -> anyhow::Result<ExitCode> {
    let wired = wiring::wire(&settings, Access::Read).await?;
    let planned = operations::plan_once(&wired.parts, revision, server).await?;
    let found = planned.has_actions();
    print(&planned.text())?;
    if found {
        print(&format!("Plan {} of commit {}.\n", planned.hash(), planned.revision.short()))?;
    }
    let failed = tell(&planned.report);
    Ok(match (failed, found) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// `reconcile --once [--plan HASH]`.
pub(super) async fn reconcile(settings: Settings, hash: Option<&str>) -> anyhow::Result<ExitCode> {
    let wired = wiring::wire(&settings, Access::Write).await?;
    let report = operations::reconcile_once(wired.parts.clone(), hash).await?;
    print(&plan::show(&report.plans))?;
    Ok(if tell(&report) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `upgrade`: 2 when files were kept that the new base has otherwise.
pub(super) async fn upgrade(settings: Settings) -> anyhow::Result<ExitCode> {
    let wired = wiring::wire(&settings, Access::Write).await?;
    let upgraded = tokio::task::block_in_place(|| change::upgrade(&wired.parts.repository, None))?;
    let mut text = match upgraded.revision {
        Some(revision) => format!("Commit {} renews the base:\n", revision.short()),
        None => "Nothing to do: the base is this program's.\n".to_owned(),
    };
    for path in &upgraded.written {
        text.push_str(&format!("  ~ {path}\n"));
    }
    for (path, why) in &upgraded.kept {
        text.push_str(&format!(
            "  = {path} is kept: {why}; `claude-manager init` into an empty directory shows the new one\n"
        ));
    }
    print(&text)?;
    Ok(if upgraded.kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Tells what went wrong on standard error; whether anything did.
fn tell(report: &OnceReport) -> bool {
    let mut stderr = std::io::stderr().lock();
    for warning in &report.warnings {
        let _ = writeln!(stderr, "warning: {warning}");
    }
    for (unit, error) in &report.errors {
        let _ = writeln!(stderr, "error: {unit}: {error}");
    }
    !report.errors.is_empty()
}

/// `age-key new`: the step that nothing takes by itself where a key was lost.
pub(super) fn new_age_key(settings: &Settings) -> anyhow::Result<ExitCode> {
    let path = wiring::age_key(settings);
    if path.exists() {
        bail!("there is a key in {}; move it away first, and keep it: old secrets are for it", path.display());
    }
    if !wiring::existing_identities(settings)?.is_empty() {
        bail!("SOPS_AGE_KEY or SOPS_AGE_KEY_FILE gives a key, and counts; remove that setting first");
    }
    let key = wiring::new_identity(settings)?.recipient().to_string();
    print(&format!(
        "Made {}; keep a copy. Secrets are encrypted for whom the state repository's .sops.yaml names, so before they are set \
         again, put this recipient there in the place of the old one, and push:\n{key}\n",
        path.display()
    ))
}

/// `token show`.
pub(super) fn show_token(settings: &Settings) -> anyhow::Result<ExitCode> {
    let token = auth::existing_administrator_token(&settings.data_dir, settings.secrets.admin_token.as_ref())?;
    print(&format!("{token}\n"))
}

/// `token create --role ROLE --ttl TIME`.
pub(super) fn create_token(
    settings: &Settings,
    role: RoleName,
    ttl: Duration,
    name: Option<String>,
    email: Option<String>,
) -> anyhow::Result<ExitCode> {
    let key = auth::existing_token_key(&settings.data_dir, settings.secrets.jwt_secret.as_ref())?;
    let role = match role {
        RoleName::Viewer => Role::Viewer,
        RoleName::Operator => Role::Operator,
        RoleName::Administrator => Role::Administrator,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970; set it")?;
    let token = key.create(&auth::NewToken { role, ttl, name, email }, now.as_secs())?;
    print(&format!("{token}\n"))
}

/// `init DIR`: the template with a first commit, as a work tree to look around in and to push.
pub(super) fn init(directory: &Path, settings: &Settings) -> anyhow::Result<ExitCode> {
    let shown = directory.display();
    if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{shown} is not empty; give a new directory");
    }
    let identities = wiring::age_identities(settings, &Past::of_files(settings), None)?;
    let seed = wiring::seed(settings, &identities)?;
    for (path, content) in &seed.0 {
        let Some(content) = content else { continue };
        let file = directory.join(path.as_str());
        let parent = file.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        std::fs::write(&file, content).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let git = |arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(["-c", "user.name=Claude Manager", "-c", "user.email=claude-manager@localhost"])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(std::process::Stdio::null())
            .output()
            .context("git cannot be started; install it and have it on the PATH")?;
        if !output.status.success() {
            bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };
    git(&["init", "--quiet", &format!("--initial-branch={}", settings.state.branch)])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message=Begin the state repository"])?;
    print(&format!(
        "Made a state repository in {shown}, for the namespace {}; `.sops.yaml` says whom its secrets are for.\n\
         Push it where you like, and start `claude-manager serve` with STATE_GIT_REPOSITORY set to that address.\n",
        settings.namespace
    ))
}

/// `hook pre-receive`: called by Git in the state repository, with the updates on standard input.
pub(super) fn pre_receive() -> anyhow::Result<ExitCode> {
    let path = std::env::current_dir().context("where the repository is")?;
    let quarantine = Quarantine::from_environment(|name| std::env::var(name).ok());
    let repository = Repository::open_in_push(&path, quarantine.as_ref())?;
    let mut updates = String::new();
    std::io::stdin().take(1 << 20).read_to_string(&mut updates).context("the updates of the push")?;
    let identities = Arc::new(wiring::hook_identities(&path, &repository));
    match change::check_push(&repository, &updates, &identities) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(reasons) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "The push is refused:");
            for reason in reasons {
                let _ = writeln!(stderr, "  {reason}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
