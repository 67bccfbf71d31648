//! One verdict: a bad tree gets the same words for the same unit by a push, by `plan --ref`, by the API and by the
//! reconciler.

use std::path::Path;

use serde_json::Value;

use crate::manager::{Manager, git, git_ok};
use crate::scenario::{append, commit, project, refused_push, update};

/// A tree that may not be applied.
struct Bad {
    what: &'static str,
    /// Whose verdict it is; `None`: nothing of the tree can be applied.
    unit: Option<&'static str>,
    /// Words of it.
    words: &'static str,
    /// Makes it in a clone.
    make: fn(&Path),
    /// What the API answers to a write of the unit with the same words.
    api: Api,
}

enum Api {
    /// A refusal with the verdict.
    Refuses,
    /// There is no such project to write.
    NotFound,
    /// The write: the verdict is a warning, and what was in force stays.
    Writes,
}

fn replace(clone: &Path, file: &str, old: &str, new: &str) {
    let path = clone.join(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(old), "{file} has no {old:?}: {text}");
    std::fs::write(path, text.replace(old, new)).expect("written");
}

fn write(clone: &Path, file: &str, text: &str) {
    let path = clone.join(file);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    std::fs::write(path, text).expect("written");
}

const OVERLAY: &str = "projects/one/kustomization.yaml";
const NOTE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: NAME\ndata: {a: b}\n";
/// An environment by hand, without the template's base and prefix.
const BY_HAND: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: three-env\nspec:\n  serviceName: three-env\n  \
                       replicas: 1\n  selector: {matchLabels: {app: three}}\n  template:\n    metadata: {labels: {app: three}}\n    \
                       spec: {containers: [{name: agent, image: dev}]}\n";

fn bad_trees() -> Vec<Bad> {
    let one = |what, words, make| Bad { what, unit: Some("one"), words, make, api: Api::Refuses };
    let all = |what, words, make| Bad { what, unit: None, words, make, api: Api::Refuses };
    vec![
        one("broken YAML", OVERLAY, |clone| append(clone, OVERLAY, "patches: [\n")),
        one("an unknown field", "namePrefixes", |clone| replace(clone, OVERLAY, "namePrefix:", "namePrefixes:")),
        one("a foreign prefix", "two-env has to be one-env", |clone| {
            replace(clone, OVERLAY, "namePrefix: one-", "namePrefix: two-");
        }),
        one("the prefix of a project to come", "later-env has to be one-env", |clone| {
            replace(clone, OVERLAY, "namePrefix: one-", "namePrefix: later-");
        }),
        one("a changed prefix", "one-new-env has to be one-env", |clone| {
            replace(clone, OVERLAY, "namePrefix: one-", "namePrefix: one-new-");
        }),
        one("no prefix", "env has to be one-env", |clone| replace(clone, OVERLAY, "namePrefix: one-\n", "")),
        one("a suffix", "one-env-v2 has to be one-env", |clone| append(clone, OVERLAY, "nameSuffix: -v2\n")),
        one("another project's label", "claude-manager.io/project", |clone| {
            replace(clone, OVERLAY, "claude-manager.io/project: one", "claude-manager.io/project: two");
        }),
        one("the node's disk", "hostPath", |clone| {
            append(
                clone,
                OVERLAY,
                "- target: {kind: StatefulSet, name: env}\n  patch: |-\n    - {op: add, path: /spec/template/spec/volumes/-, value: \
                 {name: node, hostPath: {path: /}}}\n",
            );
        }),
        one("an object that another project claims", "also belongs to one-x", |clone| {
            write(clone, "projects/one/note.yaml", &NOTE.replace("NAME", "x-note"));
            replace(clone, OVERLAY, "- ../../base", "- ../../base\n- note.yaml");
            write(clone, "projects/one-x/note.yaml", &NOTE.replace("NAME", "note"));
            replace(clone, "projects/one-x/kustomization.yaml", "- ../../base", "- ../../base\n- note.yaml");
        }),
        Bad {
            what: "a name that a project to come would have",
            unit: Some("three"),
            words: "its name does not begin with \"three-\"",
            make: |clone| {
                let overlay = "resources: [all.yaml, note.yaml]\nlabels:\n- includeSelectors: true\n  pairs: {claude-manager.io/project: three}\n";
                write(clone, "projects/three/kustomization.yaml", overlay);
                write(clone, "projects/three/all.yaml", BY_HAND);
                write(clone, "projects/three/note.yaml", &NOTE.replace("NAME", "later-note"));
                append(clone, "kustomization.yaml", "- projects/three\n");
            },
            api: Api::Refuses,
        },
        one("a secrets file that is garbage", "projects/one/secrets.sops.yaml: ", |clone| {
            write(clone, "projects/one/secrets.sops.yaml", "garbage\n");
        }),
        one("a forged value", "stringData.anthropic-api-key does not decrypt", |clone| {
            let file = "projects/one/secrets.sops.yaml";
            let text = std::fs::read_to_string(clone.join(file)).expect("the file");
            let at = text.find("anthropic-api-key: ENC[").expect("a value");
            let data = at + text[at..].find("data:").expect("its data") + "data:".len();
            let forged = if text[data..].starts_with('A') { "B" } else { "A" };
            std::fs::write(clone.join(file), format!("{}{forged}{}", &text[..data], &text[data + 1..]))
                .expect("written");
        }),
        one("a forged sum", "its checksum (mac) does not fit", |clone| {
            replace(
                clone,
                "projects/one/secrets.sops.yaml",
                "name: one-secrets",
                "name: one-secrets # x\n    namespace: x",
            );
        }),
        one("a missing secrets file's place taken", "is no regular file", |clone| {
            std::fs::remove_file(clone.join("projects/one/secrets.sops.yaml")).expect("removed");
            write(clone, "projects/one/secrets.sops.yaml/x", "x\n");
        }),
        Bad {
            what: "a listed directory that is missing",
            unit: Some("gone"),
            words: "projects/gone",
            make: |clone| append(clone, "kustomization.yaml", "- projects/gone\n"),
            api: Api::NotFound,
        },
        all("a root that is no YAML", "kustomization.yaml", |clone| append(clone, "kustomization.yaml", "labels: [\n")),
        all("another namespace", "`namespace` changes from claude-manager to other", |clone| {
            replace(clone, "kustomization.yaml", "namespace: claude-manager", "namespace: other");
        }),
        all("no namespace", "`namespace` is missing", |clone| {
            replace(clone, "kustomization.yaml", "namespace: claude-manager\n", "");
        }),
        Bad {
            what: "a policy that does not read",
            unit: None,
            words: "claude-manager.yaml: ",
            make: |clone| append(clone, "claude-manager.yaml", "polcy: {}\n"),
            api: Api::Writes,
        },
    ]
}

/// The line of the hook that has the words, without what Git puts around it and without the unit before it.
fn verdict<'s>(said: &'s str, bad: &Bad) -> &'s str {
    let lines = said.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    let found = lines.filter(|line| !line.contains(" in commit ")).find_map(|line| match bad.unit {
        Some(unit) => line.strip_prefix(unit)?.strip_prefix(": ").filter(|line| line.contains(bad.words)),
        None => Some(line).filter(|line| line.contains(bad.words)),
    });
    found.unwrap_or_else(|| panic!("{}: the push is not refused with {:?}: {said}", bad.what, bad.words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_tree_gets_the_same_verdict_on_every_way() {
    let manager = Manager::embedded();
    for name in ["one", "two", "one-x"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
        manager.expect("POST", &format!("/api/projects/{name}/stop"), None, 200).await;
    }
    let clone = manager.clone_state("clone");
    let state = manager.data().join("state.git");
    let branch = git_ok(&state, &["symbolic-ref", "HEAD"]).trim().to_owned();
    let mut wrong = Vec::new();
    for bad in bad_trees() {
        update(&clone);
        let good = git_ok(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
        (bad.make)(&clone);
        let said = refused_push(&clone, bad.what);
        let message = verdict(&said, &bad).to_owned();
        let mut expect = |way: &str, found: &str| {
            if !found.contains(&message) {
                wrong.push(format!("{}, {way}: no {message:?} in: {found}", bad.what));
            }
        };

        git_ok(&state, &["fetch", "-q", &clone.display().to_string(), "+HEAD:refs/heads/candidate"]);
        let plan = manager.command(&["plan", "--ref", "candidate"]).output().expect("plan");
        let told = String::from_utf8_lossy(&plan.stderr).into_owned();
        expect("plan", &told);
        if let Some(unit) = bad.unit {
            assert!(told.contains(&format!("error: {unit}: ")), "{}: {told}", bad.what);
        }

        // As a remote state repository would bring it, past the checks of a push.
        git_ok(&state, &["update-ref", &branch, "refs/heads/candidate"]);
        let written = bad.unit.unwrap_or("one");
        let (status, answer) = manager.api("POST", &format!("/api/projects/{written}/start"), None).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        match bad.api {
            Api::Refuses => {
                assert_eq!(status, 409, "{}: {answer:#}", bad.what);
                expect("API", detail);
            }
            Api::NotFound => assert_eq!(status, 404, "{}: {answer:#}", bad.what),
            Api::Writes => assert_eq!(status, 200, "{}: {answer:#}", bad.what),
        }
        manager.expect("POST", "/api/projects/two/refresh", None, 200).await;
        let known: Value = match bad.unit {
            Some(unit) => manager.expect("GET", &format!("/api/projects/{unit}"), None, 200).await["message"].clone(),
            None => manager.expect("GET", "/api/monitoring/status", None, 200).await,
        };
        let known = known.as_str().map_or_else(|| known.to_string().replace("\\\"", "\""), str::to_owned);
        expect("reconciler", &known);

        // Another project is not held up by one that is broken.
        if bad.unit.is_some() {
            manager.expect("POST", "/api/projects/two/start", None, 200).await;
        }
        git_ok(&state, &["update-ref", &branch, &good]);
        git_ok(&clone, &["reset", "-q", "--hard", &good]);
        manager.expect("POST", "/api/projects/two/refresh", None, 200).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_leaves_volumes_behind_is_refused_by_a_push_and_in_its_plan() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("one")), 201).await;
    manager.expect("POST", "/api/projects/one/stop", None, 200).await;
    let clone = manager.clone_state("clone");
    let state = manager.data().join("state.git");
    // The base's claim gets another name, and the environment mounts that.
    replace(&clone, "base/volumes.yaml", "name: workspace", "name: work");
    replace(&clone, "base/statefulset.yaml", "claimName: workspace", "claimName: work");
    replace(&clone, OVERLAY, "    name: workspace\n", "    name: work\n");
    let said = refused_push(&clone, "another name");
    let words = "the claims one-workspace of one would be replaced by one-work, which are new, empty volumes";
    assert!(said.contains(words), "{said}");
    git_ok(&state, &["fetch", "-q", &clone.display().to_string(), "HEAD:refs/heads/candidate"]);
    let plan = manager.command(&["plan", "--ref", "candidate"]).output().expect("plan");
    let told = String::from_utf8_lossy(&plan.stderr);
    assert!(told.contains(words), "{told}");

    // A project that comes later with a name that another one has used is refused for what it would do to that.
    update(&clone);
    write(
        &clone,
        "projects/one/note.yaml",
        &NOTE.replace("NAME", "later-env").replace("ConfigMap", "ServiceAccount").replace("data: {a: b}\n", ""),
    );
    replace(&clone, OVERLAY, "- ../../base", "- ../../base\n- note.yaml");
    commit(&clone, "an account");
    assert!(git(&clone, &["push", "-q"]).status.success());
    let refused = manager.expect("POST", "/api/projects", Some(project("one-later")), 409).await;
    let detail = refused["detail"].as_str().expect("a reason");
    assert!(detail.contains("one: ServiceAccount") && detail.contains("also belongs to one-later"), "{detail}");
}
