//! Writes of the API and pushes of people onto one real repository.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claude_manager::change::{ChangeError, Changes, Committed, check_push};
use claude_manager::edit::seed::seed;
use claude_manager::git::{Credentials, Quarantine, Remote, Repository};
use claude_manager::project::{
    Actor, AgentKey, ErrorKind, GitUrl, Image, Intent, NewProject, Principal, ProjectChange, ProjectName, Quantity,
    Resources, Revision, Role, SecretChange, SecretKey, Source, Volumes,
};
use claude_manager::sops;
use tempfile::TempDir;

use crate::git::{git, meta, try_git};

pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    repository: Repository,
    changes: Changes,
    nudges: Arc<AtomicUsize>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("state.git");
        Self::start(directory, |seed| Repository::open_or_init(&path, "main", seed, &meta("Begin")).unwrap())
    }

    fn start(directory: TempDir, open: impl FnOnce(&claude_manager::project::ChangeSet) -> Repository) -> Self {
        let (identity, _) = sops::generate(jiff::Timestamp::now());
        let repository = open(&seed("team", &identity.recipient().to_string()));
        let nudges = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&nudges);
        let nudge = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let changes = Changes::start(repository.clone(), "team", Arc::new(vec![identity]), Arc::default(), nudge);
        Self { directory, repository, changes, nudges }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state.git")
    }

    pub(crate) fn clone_state(&self, name: &str) -> PathBuf {
        git(self.directory.path(), &["clone", "-q", "state.git", name]);
        self.directory.path().join(name)
    }

    pub(crate) fn head(&self) -> Revision {
        self.repository.head().unwrap().unwrap()
    }

    pub(crate) async fn submit(&self, intent: Intent) -> Result<Committed, ChangeError> {
        self.changes.submit(intent, actor(Role::Operator), None).await
    }

    /// Has git ask us about every push: through a script, as the installed hook asks the program.
    pub(crate) fn install_hook(&self) {
        let program = self.directory.path().join("it's a program");
        let test = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = 'hook pre-receive' ] || exit 9\n\
             CHANGE_TEST_HOOK=1 exec '{}' change::child_that_judges_a_push --exact --nocapture\n",
            test.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        self.repository.install_hook(&program).unwrap();
    }
}

/// The hook's process.
#[test]
fn child_that_judges_a_push() {
    if std::env::var_os("CHANGE_TEST_HOOK").is_none() {
        return;
    }
    let quarantine = Quarantine::from_environment(|name| std::env::var(name).ok());
    let repository = Repository::open_in_push(&std::env::current_dir().unwrap(), quarantine.as_ref()).unwrap();
    let mut updates = String::new();
    std::io::stdin().read_to_string(&mut updates).unwrap();
    let is_deletion = |update: &str| update.split(' ').nth(1) == Some(&"0".repeat(40));
    assert!(quarantine.is_some() || updates.lines().all(is_deletion), "git names the quarantine");
    let outcome = check_push(&repository, &updates, &Arc::default());
    if let Some(marker) = std::env::var_os("CHANGE_TEST_STOP") {
        // Behind the verdict, with all that the hook holds.
        let pid = std::process::id().to_string();
        std::fs::write(marker, format!("{pid}\n")).unwrap();
        std::process::Command::new("kill").args(["-STOP", &pid]).status().unwrap();
    }
    drop(repository);
    if let Err(reasons) = outcome {
        eprintln!("{}", reasons.join("\n"));
        std::process::exit(1);
    }
}

fn actor(role: Role) -> Actor {
    let principal = Principal { id: "user:ana".into(), name: "Ana".into(), email: "ana@example.org".into(), role };
    Actor { principal, source: Source::Api, request_id: "r-1\nSource: root".into() }
}

pub(crate) fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn secret(key: SecretKey, value: Option<&str>) -> SecretChange {
    [(key, value.map(Into::into))].into()
}

pub(crate) fn create(text: &str) -> Intent {
    Intent::Create(Box::new(NewProject {
        short_name: name(text),
        name: format!("The {text}"),
        git_repository: GitUrl::parse("https://git.example/team/app.git").unwrap(),
        git_branch: None,
        image: Image::parse("claude-dev-env:1.0").unwrap(),
        resources: Resources::default(),
        workspace_size: Quantity::parse("5Gi").unwrap(),
        config_size: Quantity::parse("1Gi").unwrap(),
        storage_class: None,
        jira_issue: None,
        created_at: "2026-11-24T03:00:00Z".into(),
        secrets: SecretChange::new(),
    }))
}

fn change(text: &str, change: ProjectChange) -> Intent {
    Intent::Change(name(text), Box::new(change))
}

pub(crate) fn rename(text: &str, new: &str) -> Intent {
    change(text, ProjectChange { name: Some(new.into()), ..ProjectChange::default() })
}

#[tokio::test]
async fn a_write_is_a_commit_by_its_author_with_trailers_that_nobody_can_forge() {
    let fixture = Fixture::new();
    let made = fixture.submit(create("checkout")).await.unwrap();
    assert!(made.changed);
    assert_eq!(made.revision, fixture.head());
    assert_eq!(made.project.as_ref().unwrap().name, "The checkout");
    let shown = git(&fixture.path(), &["log", "-1", "--format=%an <%ae>|%cn|%B", "main"]);
    assert_eq!(
        shown.trim_end(),
        "Ana <ana@example.org>|Claude Manager|checkout: create\n\nSource: api\nRequest-Id: r-1 Source: root"
    );
    let overlay = git(&fixture.path(), &["rev-parse", "main:projects/checkout/kustomization.yaml"]);
    assert_eq!(made.overlay_id.as_deref(), Some(overlay.trim()));
    assert_eq!(fixture.nudges.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn start_stop_and_delete_are_commits_and_what_is_so_already_is_none() {
    let fixture = Fixture::new();
    fixture.submit(create("checkout")).await.unwrap();
    let again = fixture.submit(Intent::Start(name("checkout"))).await.unwrap();
    assert!(!again.changed && again.revision == fixture.head());
    assert_eq!(fixture.nudges.load(Ordering::SeqCst), 1);

    let stopped = fixture.submit(Intent::Stop(name("checkout"))).await.unwrap();
    assert!(stopped.changed);
    assert_eq!(stopped.project.unwrap().replicas, 0);

    let gone = fixture.submit(Intent::Delete(name("checkout"), Volumes::Keep)).await.unwrap();
    assert!(gone.changed && gone.project.is_none() && gone.overlay_id.is_none());
    let listing = git(&fixture.path(), &["ls-tree", "-r", "--name-only", "main"]);
    assert!(!listing.contains("projects/"), "{listing}");
    let subjects = git(&fixture.path(), &["log", "--format=%s", "main"]);
    assert_eq!(subjects, "checkout: delete\ncheckout: stop\ncheckout: create\nBegin\n");
}

#[tokio::test]
async fn refusals_commit_nothing_and_say_what_kind_they_are() {
    let fixture = Fixture::new();
    fixture.submit(create("checkout")).await.unwrap();
    let head = fixture.head();
    for (intent, kind) in [
        (create("checkout"), ErrorKind::Conflict),
        (rename("nobody", "x"), ErrorKind::NotFound),
        (Intent::Stop(name("nobody")), ErrorKind::NotFound),
        (Intent::Delete(name("nobody"), Volumes::Keep), ErrorKind::NotFound),
        (Intent::Delete(name("checkout"), Volumes::Delete), ErrorKind::Forbidden),
        (
            change(
                "checkout",
                ProjectChange { workspace_size: Some(Quantity::parse("1Gi").unwrap()), ..ProjectChange::default() },
            ),
            ErrorKind::Invalid,
        ),
    ] {
        let error = fixture.submit(intent).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    let viewer = fixture.changes.submit(Intent::Stop(name("checkout")), actor(Role::Viewer), None).await;
    assert_eq!(viewer.unwrap_err().kind, ErrorKind::Forbidden);
    assert_eq!(fixture.head(), head);
}

#[tokio::test]
async fn a_write_on_what_has_changed_since_it_was_read_is_refused() {
    let fixture = Fixture::new();
    let read = fixture.submit(create("checkout")).await.unwrap().overlay_id;
    let submit = |intent, read: &Option<String>| fixture.changes.submit(intent, actor(Role::Operator), read.clone());
    let newer = submit(rename("checkout", "Two"), &read).await.unwrap().overlay_id;
    assert_ne!(read, newer);
    let error = submit(rename("checkout", "Three"), &read).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PreconditionFailed);
    assert!(error.to_string().contains(newer.as_deref().unwrap()), "{error}");
    submit(rename("checkout", "Three"), &newer).await.unwrap();
}

#[tokio::test]
async fn secrets_are_in_git_encrypted_only_and_come_and_go_one_by_one() {
    let fixture = Fixture::new();
    let mut intent = create("checkout");
    if let Intent::Create(new) = &mut intent {
        new.secrets = secret(SecretKey::AnthropicApiKey, Some("sk-ant-very-secret"));
    }
    fixture.submit(intent).await.unwrap();
    let file = "main:projects/checkout/secrets.sops.yaml";
    let first = git(&fixture.path(), &["show", file]);
    assert!(first.contains("anthropic-api-key: ENC[AES256_GCM"), "{first}");

    let set =
        |key, value| change("checkout", ProjectChange { secrets: secret(key, value), ..ProjectChange::default() });
    fixture.submit(set(SecretKey::GitToken, Some("ghp-very-secret"))).await.unwrap();
    let second = git(&fixture.path(), &["show", file]);
    assert!(second.contains("anthropic-api-key: ENC[") && second.contains("git-token: ENC["), "{second}");
    let same = fixture.submit(set(SecretKey::GitToken, Some("ghp-very-secret"))).await.unwrap();
    assert!(!same.changed, "the same value is no change");

    fixture.submit(set(SecretKey::GitToken, None)).await.unwrap();
    fixture.submit(set(SecretKey::AnthropicApiKey, None)).await.unwrap();
    assert!(!try_git(&fixture.path(), &["show", file]).0, "an empty file goes");
    let everything = git(&fixture.path(), &["log", "-p", "--all"]);
    assert!(!everything.contains("very-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_writers_and_a_stream_of_pushes_lose_no_acknowledged_commit() {
    let fixture = Arc::new(Fixture::new());
    let clone = fixture.clone_state("clone");
    let pushing = std::thread::spawn(move || {
        let mut pushed = Vec::new();
        while pushed.len() < 8 {
            git(&clone, &["fetch", "-q"]);
            git(&clone, &["reset", "-q", "--hard", "origin/main"]);
            std::fs::write(clone.join("NOTES.md"), format!("{}\n", pushed.len())).unwrap();
            git(&clone, &["add", "."]);
            git(&clone, &["commit", "-qm", "a note"]);
            if try_git(&clone, &["push", "-q", "origin", "HEAD:main"]).0 {
                pushed.push(Revision::parse(git(&clone, &["rev-parse", "HEAD"]).trim()).unwrap());
            }
        }
        pushed
    });
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..50 {
        let fixture = Arc::clone(&fixture);
        tasks.spawn(async move {
            let project = format!("p{index}");
            let mut made = vec![fixture.submit(create(&project)).await.unwrap().revision];
            made.push(fixture.submit(Intent::Stop(name(&project))).await.unwrap().revision);
            made
        });
    }
    let mut acknowledged: Vec<Revision> = tasks.join_all().await.into_iter().flatten().collect();
    acknowledged.extend(pushing.join().unwrap());
    assert_eq!(acknowledged.len(), 108);

    let head = fixture.head();
    let history = git(&fixture.path(), &["rev-list", &head.to_string()]);
    for made in &acknowledged {
        assert!(history.contains(&made.to_string()), "{made} was lost");
    }
    let root = git(&fixture.path(), &["show", "main:kustomization.yaml"]);
    assert_eq!(root.matches("- projects/p").count(), 50, "every project is listed");
    git(&fixture.path(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn writes_go_through_a_remote_that_other_people_move() {
    let directory = TempDir::new().unwrap();
    git(directory.path(), &["init", "-q", "--bare", "-b", "main", "state.git"]);
    let url = directory.path().join("state.git").display().to_string();
    let mirror = directory.path().join("mirror.git");
    let fixture = Fixture::start(directory, |seed| {
        let remote = Remote::new(&url, Credentials::None).unwrap();
        Repository::open_remote(&mirror, "main", remote, seed, &meta("Begin")).unwrap()
    });
    fixture.submit(create("one")).await.unwrap();
    let clone = fixture.clone_state("clone");
    std::fs::write(clone.join("NOTES.md"), "by hand\n").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-qm", "a note"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    // The mirror does not know of the note yet.
    let made = fixture.submit(create("two")).await.unwrap();
    let subjects = git(&fixture.path(), &["log", "--format=%s", "main"]);
    assert_eq!(subjects, "two: create\na note\none: create\nBegin\n");
    assert_eq!(git(&fixture.path(), &["rev-parse", "main"]).trim(), made.revision.to_string());
}

/// Commits everything in the clone and pushes it; git's words.
fn push(clone: &Path, arguments: &[&str]) -> (bool, String) {
    git(clone, &["add", "-A"]);
    git(clone, &["commit", "-q", "--allow-empty", "-m", "by hand"]);
    let outcome = try_git(clone, &[&["push", "origin"], arguments].concat());
    if !outcome.0 {
        git(clone, &["reset", "-q", "--hard", "origin/main"]);
        git(clone, &["clean", "-qfd"]);
    }
    outcome
}

#[tokio::test]
async fn a_push_meets_the_same_checks_as_a_write() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    fixture.submit(create("two")).await.unwrap();
    fixture.install_hook();
    let clone = fixture.clone_state("clone");
    let overlay = clone.join("projects/one/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        std::fs::write(&overlay, text.replace(from, to)).unwrap();
    };

    edit("count: 1", "count: 0 # over the weekend");
    let (taken, words) = push(&clone, &["HEAD:main"]);
    assert!(taken, "{words}");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]).trim(), fixture.head().to_string());
    let text = std::fs::read_to_string(&overlay).unwrap();
    let refused = |expected: &[&str]| {
        let head = fixture.head();
        let (taken, words) = push(&clone, &["HEAD:main"]);
        assert!(!taken, "{words}");
        for word in expected {
            assert!(words.contains(word), "{word}: {words}");
        }
        assert_eq!(fixture.head(), head);
    };
    let write = |path: &str, content: &str| {
        let file = clone.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    };

    write("projects/one/kustomization.yaml", &text.replace("namePrefix:", "namePrefixes:"));
    refused(&["projects/one/kustomization.yaml", "namePrefixes"]);
    write("projects/one/kustomization.yaml", &text.replace("../../base", "../../base\n- role.yaml"));
    write(
        "projects/one/role.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: all\nrules: []\n",
    );
    refused(&["one: Role.rbac.authorization.k8s.io team/one-all", "may not hand out rights"]);
    write("projects/one/kustomization.yaml", &text.replace("project: one", "project: two"));
    refused(&["claude-manager.io/project"]);
    write("elsewhere/x.yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  a: hunter2\n");
    refused(&["elsewhere/x.yaml in commit", "in clear", "sops --encrypt"]);
    let root = std::fs::read_to_string(clone.join("kustomization.yaml")).unwrap();
    write("kustomization.yaml", &root.replace("namespace: team", "namespace: other"));
    refused(&["`namespace` changes from team to other"]);
    // What breaks the base breaks everybody.
    write("base/kustomization.yaml", "resources:\n- nothing.yaml\n");
    refused(&["nothing.yaml"]);
}

#[tokio::test]
async fn a_secret_in_clear_is_refused_on_any_branch_and_even_when_a_later_commit_removes_it() {
    let fixture = Fixture::new();
    fixture.install_hook();
    let clone = fixture.clone_state("clone");
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: x}\ndata: {a: aHVudGVyMg==}\n";
    std::fs::write(clone.join("x.yaml"), secret).unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-qm", "oops"]);
    git(&clone, &["rm", "-q", "x.yaml"]);
    git(&clone, &["commit", "-qm", "not there any more"]);
    for target in ["HEAD:main", "HEAD:refs/heads/other"] {
        let (taken, words) = try_git(&clone, &["push", "origin", target]);
        assert!(!taken && words.contains("x.yaml in commit") && !words.contains("aHVudGVyMg"), "{words}");
    }
}

#[tokio::test]
async fn a_push_is_judged_without_the_lock_of_writes() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    fixture.install_hook();
    let clone = fixture.clone_state("clone");
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "by hand"]);
    let held = fixture.repository.lock().unwrap();
    let push = tokio::task::spawn_blocking(move || try_git(&clone, &["push", "-q", "origin", "main"]));
    let pushed = tokio::time::timeout(std::time::Duration::from_secs(8), push).await;
    drop(held);
    let (taken, said) = pushed.expect("the hook waits for the lock").unwrap();
    assert!(taken, "{said}");
}

#[tokio::test]
async fn a_hook_that_is_stopped_keeps_no_write_out() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    fixture.install_hook();
    let clone = fixture.clone_state("clone");
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "by hand"]);
    let marker = fixture.directory.path().join("hook.pid");
    let mut pushing = std::process::Command::new("git")
        .args(["push", "-q", "origin", "main"])
        .current_dir(&clone)
        .env("CHANGE_TEST_STOP", &marker)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let stopped = loop {
        if let Some(pid) = std::fs::read_to_string(&marker).ok().filter(|text| text.ends_with('\n')) {
            break pid.trim().to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "the hook did not begin");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let begun = std::time::Instant::now();
    let written = fixture.submit(create("two"));
    let written = tokio::time::timeout(std::time::Duration::from_secs(30), written).await;
    let waited = begun.elapsed();
    std::process::Command::new("kill").args(["-CONT", &stopped]).status().unwrap();
    let taken = pushing.wait().unwrap().success();
    written.expect("the write is answered").unwrap();
    assert!(waited < std::time::Duration::from_secs(8), "{waited:?}");
    assert!(!taken, "the push lost its race, and is told so");
}

#[tokio::test]
async fn the_state_branch_is_never_rewritten_or_deleted() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    fixture.install_hook();
    let clone = fixture.clone_state("clone");
    git(&clone, &["reset", "-q", "--hard", "HEAD~1"]);
    let (taken, words) = try_git(&clone, &["push", "--force", "origin", "HEAD:main"]);
    assert!(!taken && words.contains("git revert"), "{words}");
    assert!(!try_git(&clone, &["push", "origin", ":main"]).0);
    let (taken, words) = try_git(&clone, &["push", "origin", "HEAD:refs/heads/side"]);
    assert!(taken, "{words}");
}

#[tokio::test]
async fn a_project_that_was_broken_before_does_not_hold_up_the_others() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    fixture.submit(create("two")).await.unwrap();
    let clone = fixture.clone_state("clone");
    std::fs::write(clone.join("projects/one/kustomization.yaml"), "nonsense: true\n").unwrap();
    assert!(push(&clone, &["HEAD:main"]).0, "there is no hook yet");
    fixture.install_hook();
    std::fs::write(clone.join("README.md"), "new words\n").unwrap();
    let (taken, words) = push(&clone, &["HEAD:main"]);
    assert!(taken, "{words}");
    fixture.submit(Intent::Stop(name("two"))).await.unwrap();
    let error = fixture.submit(Intent::Stop(name("one"))).await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.to_string().contains("nonsense"), "{error}");
    // And it can be deleted.
    fixture.submit(Intent::Delete(name("one"), Volumes::Keep)).await.unwrap();
}

#[tokio::test]
async fn only_an_administrator_says_which_managers_environments_let_in() {
    let fixture = Fixture::new();
    let key = Intent::TrustAgentKey(AgentKey { kid: "0123456789abcdef".to_owned(), pem: "a key\n".to_owned() });
    let before = fixture.head();

    let refused = fixture.submit(key.clone()).await.unwrap_err();
    assert_eq!((refused.kind, fixture.head()), (ErrorKind::Forbidden, before));

    let administrator = actor(Role::Administrator);
    let committed = fixture.changes.submit(key.clone(), administrator.clone(), None).await.unwrap();
    assert!(committed.changed && committed.project.is_none() && committed.overlay_id.is_none());
    let again = fixture.changes.submit(key, administrator, None).await.unwrap();
    assert_eq!((again.changed, again.revision), (false, committed.revision));
    let log = git(&fixture.path(), &["log", "-1", "--format=%s"]);
    assert_eq!(log.trim(), "Let the manager with the key 0123456789abcdef into the environments");
}
