//! Keeps the repository cloned: tries, tries again with growing pauses, and at once when credentials change.
//!
//! A clone is made in a folder of its own below `.cloning` and moved to its place when it is whole. What an interrupted
//! one leaves there is removed by the next; a `git` that outlived its agent finds its folder gone and ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::failure::{self, Mounted};
use super::secrets::{self, Fingerprint};
use super::source::Source;
use super::{Condition, World, access, git};
use crate::agent::{Readiness, Repository};
use crate::project::SecretKey;

/// The pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the mounted credentials are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After how long a try that follows a failed one is what the status speaks of.
const LONG_TRY: Duration = Duration::from_secs(5);
/// The most lines of one run that are kept to judge by.
const KEPT_LINES: usize = 200;

/// Runs as long as the agent does.
pub(super) async fn keep(world: &World) {
    let source = match &world.source {
        Ok(Some(source)) => source,
        Ok(None) => {
            set(world, Readiness::Ready, "There is no repository to clone.".to_owned());
            return std::future::pending().await;
        }
        Err(problem) => {
            let message = format!("{problem} Correct it in the project's overlay.");
            set(world, Readiness::CloneFailed, message);
            return std::future::pending().await;
        }
    };
    let target = world.layout.workspace().join(&source.folder);
    let mut seen = secrets::look(&world.layout.project_secrets());
    let mut pause = FIRST_PAUSE;
    loop {
        let until = if target.symlink_metadata().is_ok() {
            set(world, Readiness::Ready, ready(source, &target));
            pause = FIRST_PAUSE;
            Instant::now() + LONGEST_PAUSE
        } else {
            match told(world, source, &target).await {
                Ok(message) => {
                    set(world, Readiness::Ready, message);
                    pause = FIRST_PAUSE;
                    Instant::now() + LONGEST_PAUSE
                }
                Err(condition) => {
                    set(world, condition.reason, condition.message);
                    let until = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    until
                }
            }
        };
        if wait(world, source, &mut seen, until, &target).await {
            pause = FIRST_PAUSE;
        }
    }
}

/// Waits until it is time to look again; whether credentials have changed.
async fn wait(world: &World, source: &Source, seen: &mut Fingerprint, until: Instant, target: &Path) -> bool {
    while Instant::now() < until {
        sleep(LOOK).await;
        let now = secrets::look(&world.layout.project_secrets());
        if now != *seen {
            *seen = now;
            tracing::info!("the mounted credentials have changed");
            if let Err(error) = access::renew(&world.layout, source) {
                tracing::warn!(%error, "the SSH key cannot be renewed");
            }
            if target.symlink_metadata().is_err() {
                return true;
            }
        }
    }
    false
}

/// The sentence for a clone that is there.
fn ready(source: &Source, target: &Path) -> String {
    match origin_of(target) {
        Some(origin) if origin != source.url.as_str() => format!(
            "{} was there before and is a clone of another address; move it away to have {} cloned.",
            source.folder, source.url
        ),
        _ => "The repository is cloned.".to_owned(),
    }
}

/// One try, told in the status: at once where none has failed yet, else only when it takes long. Why the last one failed is
/// worth more to people than that it is tried once more, and a project is not to go from failed to starting every minute.
async fn told(world: &World, source: &Source, target: &Path) -> Result<String, Condition> {
    let cloning = || set(world, Readiness::Cloning, format!("{} is being cloned.", source.url));
    let failed = matches!(world.condition.borrow().reason, Readiness::CloneFailed | Readiness::WaitingForCredentials);
    let mut attempt = std::pin::pin!(attempt(world, source, target));
    if failed && let Ok(result) = tokio::time::timeout(LONG_TRY, &mut attempt).await {
        return result;
    }
    cloning();
    attempt.await
}

/// One try, from nothing to the clone in its place; a sentence for people, or what the status should say.
async fn attempt(world: &World, source: &Source, target: &Path) -> Result<String, Condition> {
    let failed = |what: &str, error: std::io::Error| Condition {
        reason: Readiness::CloneFailed,
        message: format!("{what}: {error}; look at the workspace volume."),
    };
    let layout = &world.layout;
    if let Err(error) = access::renew(layout, source) {
        tracing::warn!(%error, "the SSH key cannot be renewed");
    }
    let above = layout.cloning();
    clear(&above).await;
    // A name of its own for each try.
    let place = above.join(format!("{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond()));
    std::fs::create_dir_all(&above).map_err(|error| failed("the clone's folder cannot be made", error))?;

    let mut clone = git::git(layout, source);
    clone.arg("clone");
    if let Some(branch) = &source.branch {
        clone.arg(format!("--branch={branch}"));
    }
    clone.arg("--").arg(source.url.as_str()).arg(&place);
    let run = run(world, clone).await.map_err(|error| failed_to_run(&error))?;
    if !run.success {
        return Err(failure::judge(&run.lines, source, mounted(world)));
    }

    let mut message = "The repository is cloned.".to_owned();
    if place.join(".gitmodules").exists() {
        let mut update = git::git(layout, source);
        update.arg("-C").arg(&place).args(["submodule", "update", "--init", "--recursive"]);
        let run = self::run(world, update).await.map_err(|error| failed_to_run(&error))?;
        if !run.success {
            // People can work with what is there, and the submodule may be one that they never may see.
            let said = failure::judge(&run.lines, source, mounted(world)).message;
            tracing::warn!(message = said, "a submodule could not be fetched");
            message =
                "The repository is cloned, but not every submodule; run `git submodule update --init --recursive` \
                       there, and see the log for the reason."
                    .to_owned();
        }
    }
    std::fs::rename(&place, target).map_err(|error| failed("the clone cannot be moved to its place", error))?;
    clear(&above).await;
    Ok(message)
}

fn failed_to_run(error: &std::io::Error) -> Condition {
    let hint = if error.kind() == std::io::ErrorKind::NotFound { "; use an image that has git" } else { "" };
    Condition { reason: Readiness::CloneFailed, message: format!("git cannot be run: {error}{hint}.") }
}

/// Removes what interrupted tries have left.
async fn clear(above: &Path) {
    let path = above.to_owned();
    // Such a folder can be large, and probes want an answer meanwhile.
    let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(folder = %above.display(), %error, "what an interrupted clone left cannot be removed");
    }
}

/// What a run of git gave.
struct Run {
    success: bool,
    lines: Vec<String>,
}

/// Runs a command to its end; each line that it prints goes to the log, without secrets.
async fn run(world: &World, mut command: Command) -> std::io::Result<Run> {
    let token = secrets::read(&world.layout.project_secret(SecretKey::GitToken));
    let clean = |line: &str| mask(line, token.as_ref().map(ExposeSecret::expose_secret));
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err, status) = tokio::join!(follow(stdout, &clean), follow(stderr, &clean), async { child.wait().await });
    let lines = out.into_iter().chain(err).collect();
    Ok(Run { success: status?.success(), lines })
}

/// Logs lines as they come, and keeps them. Progress that is written over itself ends with a carriage return.
async fn follow(stream: Option<impl AsyncRead + Unpin>, clean: &impl Fn(&str) -> String) -> Vec<String> {
    let mut kept = Vec::new();
    let Some(stream) = stream else { return kept };
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return kept,
            Ok(_) => {}
        }
        for part in String::from_utf8_lossy(&bytes).split(['\r', '\n']).map(str::trim_end) {
            if part.is_empty() {
                continue;
            }
            let line = clean(part);
            tracing::info!("git: {line}");
            if kept.len() < KEPT_LINES {
                kept.push(line);
            }
        }
    }
}

/// A line without the token, without the password of any address, and without control characters.
fn mask(line: &str, token: Option<&str>) -> String {
    let mut text: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect();
    if let Some(token) = token {
        text = text.replace(token, "***");
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        let end = after.find(|c: char| c == '/' || c == '\'' || c == '"' || c.is_whitespace()).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => masked.push_str(&format!("***@{host}")),
            _ => masked.push_str(authority),
        }
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

fn mounted(world: &World) -> Mounted {
    let there = |key| secrets::read(&world.layout.project_secret(key)).is_some();
    Mounted {
        token: there(SecretKey::GitToken),
        ssh_key: there(SecretKey::GitSshPrivateKey),
        known_hosts: there(SecretKey::GitKnownHosts),
    }
}

fn set(world: &World, reason: Readiness, message: String) {
    let condition = Condition { reason, message };
    world.condition.send_if_modified(|before| {
        if *before == condition {
            return false;
        }
        match reason {
            Readiness::CloneFailed | Readiness::WaitingForCredentials => {
                tracing::warn!(reason = reason.as_str(), "{}", condition.message);
            }
            _ => tracing::info!(reason = reason.as_str(), "{}", condition.message),
        }
        *before = condition;
        true
    });
}

/// The repository as it is on disk. Read from Git's files, since a status is asked for often: no program is started.
pub(super) fn repository(world: &World) -> Option<Repository> {
    let source = match &world.source {
        Ok(source) => source.as_ref()?,
        // The setting is not repeated: it may carry a password.
        Err(_) => return Some(Repository { url: String::new(), branch: None, commit: None }),
    };
    let git = world.layout.workspace().join(&source.folder).join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).ok();
    let (branch, commit) = match head.as_deref().map(str::trim) {
        None => (source.branch.clone(), None),
        Some(head) => match head.strip_prefix("ref: ") {
            Some(name) => (name.strip_prefix("refs/heads/").map(str::to_owned), resolve(&git, name)),
            None => (None, commit_id(head)),
        },
    };
    Some(Repository { url: source.url.to_string(), branch, commit })
}

/// The commit of a ref, loose or packed.
fn resolve(git: &Path, name: &str) -> Option<String> {
    // The name is a person's own, in a file that anybody here can write.
    if name.split('/').any(|part| part.is_empty() || part == "..") {
        return None;
    }
    if let Ok(text) = std::fs::read_to_string(git.join(name)) {
        return commit_id(text.trim());
    }
    let packed = std::fs::File::open(git.join("packed-refs")).ok()?;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(packed)).map_while(Result::ok);
    let mut found = lines.filter_map(|line| commit_id(line.strip_suffix(name)?.strip_suffix(' ')?));
    found.next()
}

fn commit_id(text: &str) -> Option<String> {
    let fine = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fine.then(|| text.to_owned())
}

/// `remote.origin.url` of a clone.
fn origin_of(target: &Path) -> Option<String> {
    let config: PathBuf = target.join(".git/config");
    let text = std::fs::read_to_string(config).ok()?;
    let section = text.split("[remote \"origin\"]").nth(1)?.split("\n[").next()?;
    section.lines().find_map(|line| Some(line.trim().strip_prefix("url = ")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_tokens_and_passwords_and_nothing_else() {
        for (line, expected) in [
            ("fatal: t0ken is wrong", "fatal: *** is wrong"),
            (
                "Cloning 'https://me:pw@git.example/a' and ssh://git@h/x",
                "Cloning 'https://***@git.example/a' and ssh://git@h/x",
            ),
            ("https://a:b@h", "https://***@h"),
            ("a\u{1b}[31mred", "a [31mred"),
            ("no address: a@b:c", "no address: a@b:c"),
        ] {
            assert_eq!(mask(line, Some("t0ken")), expected);
        }
    }

    #[test]
    fn the_commit_is_read_loose_or_packed() {
        let git = tempfile::tempdir().unwrap();
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        std::fs::write(
            git.path().join("packed-refs"),
            format!("# pack-refs\n{two} refs/heads/xmain\n{one} refs/heads/main\n"),
        )
        .unwrap();
        assert_eq!(resolve(git.path(), "refs/heads/main"), Some(one));
        std::fs::create_dir_all(git.path().join("refs/heads")).unwrap();
        std::fs::write(git.path().join("refs/heads/main"), format!("{two}\n")).unwrap();
        assert_eq!(resolve(git.path(), "refs/heads/main"), Some(two));
        assert_eq!(resolve(git.path(), "refs/heads/../../secret"), None);
        assert_eq!(resolve(git.path(), "refs/heads/none"), None);
    }
}
