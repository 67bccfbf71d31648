//! The state repository against the real `git` program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_manager::git::{CommitError, CommitMeta, Credentials, GitError, Person, PushStage, Remote, Repository};
use claude_manager::project::{ChangeSet, Entry, Files, FilesError, ProjectName, RepoPath, Revision};
use tempfile::TempDir;

/// Runs stock git with nothing of the machine's configuration; panics with its words when it fails.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = try_git(directory, arguments);
    assert!(output.0, "git {arguments:?}: {}", output.1);
    output.1
}

/// As [`git`], with success and output as the answer.
pub(crate) fn try_git(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .envs([("GIT_AUTHOR_NAME", "Ana"), ("GIT_AUTHOR_EMAIL", "ana@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Ana"), ("GIT_COMMITTER_EMAIL", "ana@example.org")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

pub(crate) fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

pub(crate) fn meta(message: &str) -> CommitMeta {
    CommitMeta {
        author: Person { name: "Ana".into(), email: "ana@example.org".into() },
        committer: Person::manager(),
        time: jiff::Timestamp::now(),
        message: message.to_owned(),
    }
}

fn write(path_text: &str, content: &str) -> ChangeSet {
    let mut changes = ChangeSet::default();
    changes.write(path(path_text), content);
    changes
}

fn remove(path_text: &str) -> ChangeSet {
    let mut changes = ChangeSet::default();
    changes.remove(path(path_text));
    changes
}

struct Fixture {
    directory: TempDir,
    repository: Repository,
}

impl Fixture {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut seed = write("README.md", "hello\n");
        seed.write(path("projects/a/kustomization.yaml"), "replicas: 0\n");
        let repository =
            Repository::open_or_init(&directory.path().join("state.git"), "main", &seed, &meta("Begin")).unwrap();
        Self { directory, repository }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state.git")
    }

    fn head(&self) -> Revision {
        self.repository.head().unwrap().unwrap()
    }

    fn commit(&self, changes: &ChangeSet, message: &str) -> Revision {
        self.repository.commit(Some(self.head()), changes, &meta(message)).unwrap()
    }

    fn fsck(&self) {
        let report = git(&self.path(), &["fsck", "--strict", "--full"]);
        assert!(!report.contains("missing") && !report.contains("error"), "{report}");
    }
}

#[test]
fn stock_git_reads_what_was_committed() {
    let fixture = Fixture::new();
    let message = "a: start\n\nSource: api\nRequest-Id: 42\n";
    fixture.commit(&write("projects/a/kustomization.yaml", "replicas: 1\n"), message);

    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    assert_eq!(std::fs::read_to_string(clone.join("projects/a/kustomization.yaml")).unwrap(), "replicas: 1\n");
    let format = "--format=%an <%ae>|%cn <%ce>|%s|%(trailers:key=Request-Id,valueonly,separator=%x2C)";
    assert_eq!(
        git(&clone, &["log", "-1", format]),
        "Ana <ana@example.org>|Claude Manager <claude-manager@localhost>|a: start|42\n"
    );
    fixture.fsck();
}

#[test]
fn a_second_start_finds_the_repository_and_seeds_nothing() {
    let fixture = Fixture::new();
    let head = fixture.head();
    let again =
        Repository::open_or_init(&fixture.path(), "main", &write("README.md", "other\n"), &meta("Begin")).unwrap();
    assert_eq!(again.head().unwrap(), Some(head));
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("precious"), "").unwrap();
    let result = Repository::open_or_init(directory.path(), "main", &ChangeSet::default(), &meta("Begin"));
    assert!(matches!(result.err(), Some(CommitError::Git(GitError::Open { .. }))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_tree_reads_files_directories_and_links_as_what_they_are() {
    let fixture = Fixture::new();
    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    std::os::unix::fs::symlink("/etc/passwd", clone.join("link")).unwrap();
    std::fs::write(clone.join("large"), vec![b'x'; 9 * 1024 * 1024]).unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-qm", "more"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);

    let tree = fixture.repository.tree(fixture.head()).unwrap();
    assert_eq!(&*tree.read(&path("README.md")).unwrap(), b"hello\n");
    assert_eq!(tree.entry(&path("projects/a")).unwrap(), Entry::Directory);
    assert_eq!(tree.entry(&path("link")).unwrap(), Entry::Other);
    assert_eq!(tree.entry(&path("projects/b")).unwrap(), Entry::Missing);
    assert_eq!(tree.entry(&path("README.md/x")).unwrap(), Entry::Missing);
    assert_eq!(tree.list(&RepoPath::root()).unwrap(), ["README.md", "large", "link", "projects"]);
    assert!(matches!(tree.read(&path("link")), Err(FilesError::NotAFile(_))));
    let refusal = tree.read(&path("large")).unwrap_err().to_string();
    assert!(refusal.contains("9437184 bytes"), "{refusal}");
    let blob = git(&clone, &["rev-parse", "HEAD:README.md"]);
    assert_eq!(Revision::from_bytes(tree.content_id(&path("README.md")).unwrap()).to_string(), blob.trim());
}

#[test]
fn changes_keep_modes_and_leave_no_empty_directories() {
    let fixture = Fixture::new();
    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    std::fs::write(clone.join("run.sh"), "old\n").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["update-index", "--chmod=+x", "run.sh"]);
    git(&clone, &["commit", "-qm", "script"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);

    let mut changes = write("run.sh", "new\n");
    changes.remove(path("projects/a/kustomization.yaml"));
    changes.remove(path("projects/never/was"));
    fixture.commit(&changes, "change");
    let listing = git(&fixture.path(), &["ls-tree", "-r", "main"]);
    assert!(listing.contains("100755") && !listing.contains("projects"), "{listing}");

    let head = fixture.head();
    assert_eq!(fixture.commit(&remove("projects/a/kustomization.yaml"), "again"), head, "nothing to change, no commit");
    for bad in [".git/config", "a/.GIT/x", "a\nb"] {
        let refused = fixture.repository.commit(Some(head), &write(bad, ""), &meta("bad"));
        assert!(matches!(refused, Err(CommitError::Git(GitError::Path { .. }))), "{bad}");
    }
    fixture.fsck();
}

#[test]
fn a_commit_on_an_old_head_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let old = fixture.head();
    let new = fixture.commit(&write("b", "1"), "b");
    let refused = fixture.repository.commit(Some(old), &write("c", "1"), &meta("c"));
    assert!(matches!(refused, Err(CommitError::HeadMoved { found: Some(found), .. }) if found == new), "{refused:?}");
    assert_eq!(fixture.head(), new);
}

#[test]
fn a_branch_that_git_moves_during_a_batch_stays_where_git_put_it() {
    let fixture = Fixture::new();
    let mut batch = fixture.repository.begin().unwrap();
    batch.commit(&write("ours", "1"), &meta("ours")).unwrap();
    let tree = git(&fixture.path(), &["rev-parse", "main^{tree}"]);
    let theirs = git(&fixture.path(), &["commit-tree", "-p", "main", "-m", "theirs", tree.trim()]);
    git(&fixture.path(), &["update-ref", "refs/heads/main", theirs.trim()]);

    assert!(matches!(batch.publish(), Err(CommitError::HeadMoved { .. })));
    assert_eq!(fixture.head().to_string(), theirs.trim());
}

#[test]
fn a_lock_of_another_program_is_respected_and_a_stale_one_of_ours_is_not() {
    let fixture = Fixture::new();
    let lock = fixture.path().join("refs/heads/main.lock");
    // Ours, from a killed writer: the link and the file behind it.
    std::fs::write(fixture.path().join("claude-manager.ref"), "0\n").unwrap();
    std::fs::hard_link(fixture.path().join("claude-manager.ref"), &lock).unwrap();
    let head = fixture.commit(&write("b", "1"), "b");

    std::fs::write(&lock, "").unwrap();
    let refused = fixture.repository.commit(Some(head), &write("c", "1"), &meta("c"));
    assert!(matches!(refused, Err(CommitError::Locked(_))), "{refused:?}");
    assert!(lock.exists());
    assert_eq!(fixture.head(), head);
}

/// What a `git receive-pack` that is killed between its lock and its rename leaves.
fn leave_lock(repository: &Path) -> PathBuf {
    let lock = repository.join("refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    let minute_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    std::fs::File::options().write(true).open(&lock).unwrap().set_modified(minute_ago).unwrap();
    lock
}

#[test]
fn a_lock_that_a_killed_git_left_is_removed_at_a_write_and_at_the_start() {
    let fixture = Fixture::new();
    let lock = leave_lock(&fixture.path());
    assert!(fixture.repository.write_obstacle().is_some_and(|text| text.contains("main.lock")));
    fixture.commit(&write("b", "1"), "b");
    assert!(!lock.exists());
    assert_eq!(fixture.repository.write_obstacle(), None);

    leave_lock(&fixture.path());
    Repository::open_or_init(&fixture.path(), "main", &ChangeSet::default(), &meta("Begin")).unwrap();
    assert!(!lock.exists());
}

#[test]
fn an_old_lock_stays_while_a_git_program_works_in_the_repository() {
    let fixture = Fixture::new();
    let mut living = Command::new("git")
        .args(["cat-file", "--batch"])
        .current_dir(fixture.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lock = leave_lock(&fixture.path());
    let refused = fixture.repository.commit(Some(fixture.head()), &write("c", "1"), &meta("c"));
    let is_there = lock.exists();
    living.kill().unwrap();
    living.wait().unwrap();
    assert!(matches!(refused, Err(CommitError::Locked(_))) && is_there, "{refused:?}");
}

#[test]
fn a_push_that_is_reserved_is_waited_for_and_not_for_ever() {
    let fixture = Fixture::new();
    let head = fixture.head();
    fixture.repository.reserve(head, PushStage::Accepted).unwrap();
    let begun = Instant::now();
    fixture.commit(&write("b", "1"), "b");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(4), "{waited:?}");

    // A note about another head holds no write up.
    fixture.repository.reserve(head, PushStage::Accepted).unwrap();
    let begun = Instant::now();
    fixture.commit(&write("c", "1"), "c");
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[test]
fn revisions_are_found_by_branch_tag_and_the_beginning_of_their_id() {
    let fixture = Fixture::new();
    let head = fixture.head();
    git(&fixture.path(), &["tag", "-a", "-m", "first", "v1"]);
    let id = head.to_string();
    for text in ["main", "HEAD", "v1", "refs/heads/main", "refs/tags/v1", &id, &id[..7]] {
        assert_eq!(fixture.repository.resolve(text).unwrap(), head, "{text}");
    }
    for text in ["", "nothing", "abc", "../x", "main^", &"0".repeat(40), "deadbeef"] {
        assert!(matches!(fixture.repository.resolve(text), Err(GitError::UnknownRevision(_))), "{text}");
    }
}

#[test]
fn a_batch_that_is_given_up_never_was_though_it_was_read() {
    let fixture = Fixture::new();
    let mut batch = fixture.repository.begin().unwrap();
    let made = batch.commit(&write("b", "1"), &meta("b")).unwrap();
    assert_eq!(*batch.tree().unwrap().read(&path("b")).unwrap(), *b"1");
    drop(batch);
    let found = fixture.repository.resolve(&made.to_string());
    assert!(matches!(found, Err(GitError::UnknownRevision(_))), "{found:?}");
    assert!(fixture.repository.tree(made).is_err());
    // The same commit made for good is there, and reads.
    fixture.commit(&write("b", "1"), "b");
    assert_eq!(*fixture.repository.tree(fixture.head()).unwrap().read(&path("b")).unwrap(), *b"1");
}

#[test]
fn everything_still_reads_after_git_has_packed_objects_and_refs() {
    let fixture = Fixture::new();
    let first = fixture.commit(&write("b", "1"), "b");
    git(&fixture.path(), &["gc", "-q"]);
    assert!(!fixture.path().join("refs/heads/main").exists(), "the ref is packed");
    assert_eq!(fixture.head(), first);
    let second = fixture.commit(&write("b", "2"), "b again");
    assert_eq!(fixture.repository.log(second, None, 10).unwrap().len(), 3);
    fixture.fsck();
}

#[test]
fn the_log_of_a_path_and_the_last_change_of_each_project_agree_with_git() {
    let fixture = Fixture::new();
    fixture.commit(&write("projects/b/kustomization.yaml", "1"), "b: create\n\nSource: ui");
    let first = fixture.head();
    let early = fixture.repository.last_changes(first, None).unwrap();
    fixture.commit(&write("projects/a/kustomization.yaml", "2"), "a: change");
    // A side branch, merged by stock git.
    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    git(&clone, &["checkout", "-q", "-b", "side", "HEAD~1"]);
    std::fs::create_dir_all(clone.join("projects/c")).unwrap();
    std::fs::write(clone.join("projects/c/kustomization.yaml"), "c").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-qm", "c: create"]);
    git(&clone, &["checkout", "-q", "main"]);
    git(&clone, &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    git(&clone, &["push", "-q", "origin", "main"]);

    let head = fixture.head();
    let changes = fixture.repository.last_changes(head, None).unwrap();
    let known = fixture.repository.last_changes(head, Some((first, &early))).unwrap();
    assert_eq!(changes, known, "the incremental walk finds the same");
    assert!(fixture.repository.changes_since(first, head).unwrap().is_none(), "there is a merge in between");
    assert_eq!(changes.len(), 3);
    for (name, change) in &changes {
        let folder = format!("projects/{name}");
        let expected = git(&clone, &["log", "-1", "--format=%H", "--", &folder]);
        assert_eq!(change.revision.to_string(), expected.trim(), "{name}");
        let log = fixture.repository.log(head, Some(&path(&folder)), 10).unwrap();
        let subjects: Vec<_> = log.iter().map(|entry| entry.subject.as_str()).collect();
        let expected = git(&clone, &["log", "--format=%s", "--", &folder]);
        assert_eq!(subjects, expected.lines().collect::<Vec<_>>(), "{name}");
    }
    let b = &changes[&ProjectName::parse("b").unwrap()];
    let entry = &fixture.repository.log(b.revision, None, 1).unwrap()[0];
    assert_eq!(entry.trailers, [("Source".to_owned(), "ui".to_owned())]);
    assert_eq!(entry.author.email, "ana@example.org");
}

#[test]
fn what_a_chain_of_commits_changed_is_what_the_whole_history_says() {
    let fixture = Fixture::new();
    let file = |name: &str| format!("projects/{name}/kustomization.yaml");
    fixture.commit(&write(&file("a"), "1"), "a: create");
    fixture.commit(&write(&file("b"), "1"), "b: create");
    let known = fixture.commit(&write(&file("c"), "1"), "c: create");
    let mut after = fixture.repository.last_changes(known, None).unwrap();
    fixture.commit(&write(&file("a"), "2"), "a: change");
    fixture.commit(&write(&file("a"), "1"), "a: change back");
    fixture.commit(&remove(&file("c")), "c: delete");
    fixture.commit(&write("README.md", "words"), "no project");
    fixture.commit(&write(&file("d"), "1"), "d: create");
    fixture.commit(&remove(&file("d")), "d: delete");
    fixture.commit(&write(&file("e"), "1"), "e: create");
    // What is no folder is no project.
    let head = fixture.commit(&write("projects/f", "a file"), "f: a file");

    let changes = fixture.repository.changes_since(known, head).unwrap().expect("a chain");
    let told: Vec<_> = changes.iter().map(|(name, change)| (name.as_str(), change.is_some())).collect();
    assert_eq!(told, [("a", true), ("c", false), ("d", false), ("e", true)]);
    claude_manager::git::take_changes(&mut after, &changes);
    assert_eq!(after, fixture.repository.last_changes(head, None).unwrap());
    assert_eq!(fixture.repository.changes_since(head, head).unwrap().map(|changes| changes.len()), Some(0));
    assert!(fixture.repository.changes_since(head, known).unwrap().is_none(), "it went back");
}

#[test]
fn a_reader_sees_a_file_and_the_commits_of_its_folder_back_to_its_making() {
    let fixture = Fixture::new();
    let overlay = path("projects/c/kustomization.yaml");
    fixture.commit(&write("projects/c/kustomization.yaml", "replicas: 0\n"), "c: create");
    fixture.commit(&remove("projects/c/kustomization.yaml"), "c: delete");
    let made = fixture.commit(&write("projects/c/kustomization.yaml", "replicas: 1\n"), "c: create again");
    fixture.commit(&write("projects/b/kustomization.yaml", "replicas: 1\n"), "b: create");
    let beside = fixture.commit(&write("projects/c/secrets.sops.yaml", "x"), "c: secrets");
    let other = fixture.commit(&write("projects/b/kustomization.yaml", "replicas: 0\n"), "b: stop");
    let mut gone = remove("projects/c/kustomization.yaml");
    gone.remove(path("projects/c/secrets.sops.yaml"));
    let gone = fixture.commit(&gone, "c: delete again");
    let reader = claude_manager::git::Reader::new(fixture.repository.clone());

    for revision in [beside, other, other] {
        let folder = reader.folder_of(revision, &overlay, 10).unwrap();
        assert_eq!(folder.text.as_deref(), Some("replicas: 1\n"));
        let commits: Vec<_> = folder.commits.iter().map(|commit| commit.revision).collect();
        assert_eq!(commits, [beside, made], "what was there before the second making is another's");
        assert_eq!(folder.commits[0].author.name, "Ana");
    }
    let folder = reader.folder_of(gone, &overlay, 10).unwrap();
    let commits: Vec<_> = folder.commits.iter().map(|commit| commit.revision).collect();
    assert_eq!((folder.text, commits), (None, vec![gone, beside, made]));
    assert_eq!(reader.folder_of(gone, &overlay, 1).unwrap().commits.len(), 1);
    assert_eq!(reader.folder_of(gone, &path("projects/x/kustomization.yaml"), 5).unwrap(), Default::default());
}

#[test]
fn new_commits_are_those_that_nothing_known_reaches_even_within_one_second() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let mut made = Vec::new();
    for round in 0..4 {
        made.push(fixture.commit(&write("x", &round.to_string()), "x"));
    }
    let new = |tip, known: &[Revision]| {
        let found = fixture.repository.new_commits(tip, known, 100).unwrap();
        found.into_iter().map(|(revision, _)| revision).collect::<Vec<_>>()
    };
    assert_eq!(new(first, &[made[3]]), []);
    assert_eq!(new(made[1], &[made[3]]), []);
    assert_eq!(new(made[3], &[made[1]]), [made[3], made[2]]);
    assert_eq!(new(made[0], &[]), [made[0], first]);
}

#[test]
fn changed_paths_are_those_that_git_names() {
    let fixture = Fixture::new();
    let before = fixture.head();
    let mut changes = write("projects/b/kustomization.yaml", "1");
    changes.remove(path("README.md"));
    changes.write(path("README.md/now/a/folder"), "x");
    let after = fixture.commit(&changes, "much");
    let named = git(&fixture.path(), &["diff", "--name-only", &before.to_string(), &after.to_string()]);
    let expected: BTreeSet<_> = named.lines().map(path).collect();
    assert_eq!(fixture.repository.diff_paths(Some(before), after).unwrap(), expected);
}

#[test]
fn names_and_messages_cannot_break_out_of_their_field() {
    let fixture = Fixture::new();
    let mut hostile = meta("a\0b: x");
    hostile.author = Person { name: "Eve\ncommitter Root <root@x> 0 +0000".into(), email: "e>\n<ve@x".into() };
    fixture.repository.commit(Some(fixture.head()), &write("x", "1"), &hostile).unwrap();
    let shown = git(&fixture.path(), &["log", "-1", "--format=%an|%ae|%cn|%s", "main"]);
    assert_eq!(shown, "Evecommitter Root root@x 0 +0000|eve@x|Claude Manager|ab: x\n");
    hostile.author = Person { name: "<>".into(), email: String::new() };
    fixture.repository.commit(Some(fixture.head()), &write("x", "2"), &hostile).unwrap();
    fixture.fsck();
}

#[tokio::test]
async fn a_push_by_path_is_seen_within_a_second() {
    let fixture = Fixture::new();
    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "by hand"]);
    let mut watch = fixture.repository.watch().unwrap();
    let before = fixture.head();

    git(&clone, &["push", "-q", "origin", "main"]);
    let pushed = Instant::now();
    while fixture.head() == before {
        tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.unwrap();
    assert!(pushed.elapsed() < Duration::from_secs(1));
    // Locks and reads are no news.
    while tokio::time::timeout(Duration::from_millis(100), watch.changed()).await.is_ok() {}
    drop(fixture.repository.begin().unwrap());
    fixture.repository.log(fixture.head(), None, 5).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_err());
}

#[test]
fn writers_and_pushes_at_once_lose_no_acknowledged_commit() {
    let fixture = Fixture::new();
    git(fixture.directory.path(), &["clone", "-q", "state.git", "clone"]);
    let clone = fixture.directory.path().join("clone");
    let acknowledged = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (repository, acknowledged) = (fixture.repository.clone(), &acknowledged);
            scope.spawn(move || {
                for round in 0..10 {
                    let changes = write(&format!("files/{writer}-{round}"), "x");
                    loop {
                        let head = repository.head().unwrap();
                        match repository.commit(head, &changes, &meta("write")) {
                            Ok(made) => break acknowledged.lock().unwrap().push(made),
                            Err(CommitError::HeadMoved { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        let acknowledged = &acknowledged;
        scope.spawn(move || {
            for round in 0..10 {
                loop {
                    git(&clone, &["fetch", "-q"]);
                    git(&clone, &["reset", "-q", "--hard", "origin/main"]);
                    std::fs::write(clone.join(format!("pushed-{round}")), "x").unwrap();
                    git(&clone, &["add", "."]);
                    git(&clone, &["commit", "-qm", "push"]);
                    if try_git(&clone, &["push", "-q", "origin", "HEAD:main"]).0 {
                        let made = git(&clone, &["rev-parse", "HEAD"]);
                        break acknowledged.lock().unwrap().push(Revision::parse(made.trim()).unwrap());
                    }
                }
            }
        });
    });
    let head = fixture.head();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_eq!(acknowledged.len(), 50);
    for made in acknowledged {
        assert!(fixture.repository.is_ancestor(made, head).unwrap(), "{made} was lost");
    }
    fixture.fsck();
}

/// The child of the test below: commits until it is killed.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os("GIT_TEST_VICTIM") else { return };
    let repository = Repository::open_or_init(Path::new(&path), "main", &write("seed", "x"), &meta("Begin")).unwrap();
    for round in 0_u64.. {
        let mut batch = repository.begin().unwrap();
        for file in 0..3 {
            let changes = write(&format!("files/{file}"), &format!("{round} {}", std::process::id()));
            batch.commit(&changes, &meta("write")).unwrap();
        }
        let head = batch.publish().unwrap().unwrap();
        // Acknowledged: from here on it must never be lost.
        std::fs::write(Path::new(&path).with_extension("acknowledged.new"), head.to_string()).unwrap();
        let from = Path::new(&path).with_extension("acknowledged.new");
        std::fs::rename(from, Path::new(&path).with_extension("acknowledged")).unwrap();
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_valid_repository_with_everything_acknowledged() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.git");
    let rounds = 25;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["git::child_that_commits_until_it_is_killed", "--exact", "--test-threads=1"])
            .env("GIT_TEST_VICTIM", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some from the first instructions on, the others once it works; in steps that fall into every phase.
        let acknowledged = || std::fs::read_to_string(path.with_extension("acknowledged")).unwrap_or_default();
        let before = acknowledged();
        let patience = Instant::now() + Duration::from_secs(30);
        while round >= 5 && acknowledged() == before && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(2_000 + round * 1_919));
        child.kill().unwrap();
        child.wait().unwrap();
        if !path.exists() {
            continue;
        }
        let report = git(&path, &["fsck", "--strict"]);
        assert!(!report.contains("missing") && !report.contains("error"), "{report}");
        let repository = Repository::open(&path, Some("main")).unwrap();
        if let Ok(acknowledged) = Revision::parse(&acknowledged()) {
            let head = repository.head().unwrap().unwrap();
            assert!(repository.is_ancestor(acknowledged, head).unwrap(), "{acknowledged} was lost");
        }
    }
    // And the next writer goes on, whatever locks were left.
    let repository = Repository::open_or_init(&path, "main", &write("seed", "x"), &meta("Begin")).unwrap();
    let head = repository.head().unwrap();
    repository.commit(head, &write("after", "x"), &meta("after")).unwrap();
    assert!(repository.log(repository.head().unwrap().unwrap(), None, 1000).unwrap().len() > rounds as usize);
}

#[test]
fn a_mirror_follows_its_remote_and_pushes_to_it() {
    let fixture = Fixture::new();
    let url = fixture.path().display().to_string();
    let mirror = fixture.directory.path().join("mirror.git");
    let remote = Remote::new(&url, Credentials::None).unwrap();
    let mirror = Repository::open_remote(&mirror, "main", remote, &ChangeSet::default(), &meta("Begin")).unwrap();
    assert_eq!(mirror.head().unwrap(), Some(fixture.head()));
    assert!(!mirror.fetch().unwrap());

    let made = mirror.commit(mirror.head().unwrap(), &write("b", "1"), &meta("b")).unwrap();
    assert_eq!(fixture.head(), made, "the remote has it before it is acknowledged");

    // Somebody else commits there: our next commit is refused, and the mirror is then where the remote is.
    let theirs = fixture.commit(&write("c", "1"), "c");
    let refused = mirror.commit(Some(made), &write("d", "1"), &meta("d"));
    assert!(matches!(refused, Err(CommitError::HeadMoved { .. })), "{refused:?}");
    assert_eq!(mirror.head().unwrap(), Some(theirs));
    mirror.commit(Some(theirs), &write("d", "1"), &meta("d")).unwrap();
    assert!(fixture.repository.log(fixture.head(), None, 10).unwrap().iter().any(|entry| entry.subject == "c"));
}

#[test]
fn an_empty_remote_is_seeded_and_an_absent_one_is_an_error_with_a_way_out() {
    let directory = TempDir::new().unwrap();
    git(directory.path(), &["init", "-q", "--bare", "remote.git"]);
    let url = directory.path().join("remote.git").display().to_string();
    let remote = Remote::new(&url, Credentials::None).unwrap();
    let mirror = directory.path().join("mirror.git");
    Repository::open_remote(&mirror, "main", remote, &write("README.md", "x"), &meta("Begin")).unwrap();
    assert!(git(&directory.path().join("remote.git"), &["log", "--oneline", "main"]).contains("Begin"));

    let remote = Remote::new(&directory.path().join("nowhere").display().to_string(), Credentials::None).unwrap();
    let absent = directory.path().join("absent.git");
    let error = Repository::open_remote(&absent, "main", remote, &ChangeSet::default(), &meta("Begin")).err().unwrap();
    assert!(error.to_string().contains("check the path"), "{error}");
}

/// A server that wants a password and never has enough; gives its address and the `Authorization` headers that it saw.
fn server(redirect: Option<String>) -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let headers = std::sync::Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut path = String::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                if let Some(rest) = line.strip_prefix("GET ") {
                    path = rest.split(' ').next().unwrap().to_owned();
                }
                if line.to_lowercase().starts_with("authorization:") {
                    headers.lock().unwrap().push(line);
                }
            }
            let answer = match &redirect {
                Some(target) => format!("302 Found\r\nLocation: {target}{path}"),
                None => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"".to_owned(),
            };
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, seen)
}

#[test]
fn a_token_goes_to_its_own_server_only_and_into_no_error() {
    let directory = TempDir::new().unwrap();
    let open = |address: &str, name: &str| {
        let token = Credentials::Token { user: None, token: "very-secret".into() };
        let remote = Remote::new(&format!("{address}/team/state.git"), token).unwrap();
        let path = directory.path().join(name);
        Repository::open_remote(&path, "main", remote, &ChangeSet::default(), &meta("Begin")).err().unwrap().to_string()
    };
    let (own, seen) = server(None);
    let error = open(&own, "a.git");
    assert!(error.contains("check the token") && !error.contains("very-secret"), "{error}");
    // x-access-token:very-secret
    let expected = "eC1hY2Nlc3MtdG9rZW46dmVyeS1zZWNyZXQ=";
    assert!(seen.lock().unwrap().iter().any(|header| header.contains(expected)), "{seen:?}");

    let (other, seen) = server(None);
    let (redirecting, _) = server(Some(other));
    let error = open(&redirecting, "b.git");
    assert!(!error.contains("very-secret"), "{error}");
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
}
