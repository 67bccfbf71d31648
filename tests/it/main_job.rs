//! The main job, from the outside: an API call is a commit, a commit becomes the cluster.

use serde_json::{Value, json};

use crate::manager::{Manager, git, git_ok};

fn checkout() -> Value {
    json!({
        "name": "Checkout: pay & go",
        "shortName": "checkout",
        "gitRepository": "https://git.example/team/checkout.git",
        "anthropicApiKey": "sk-ant-very-secret",
        "gitCredentials": {"token": "ghp_very_secret"},
        "resources": {"cpu": "500m", "memory": "1Gi"},
        "storage": {"size": "2Gi"}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_commit_with_author_and_trailers_and_the_answer_names_it() {
    let manager = Manager::embedded();
    let made = manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    assert_eq!(made["id"], "checkout");
    assert_eq!(made["name"], "Checkout: pay & go");
    assert_eq!(made["replicas"], 1);
    assert_eq!(made["resources"], json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(made["storage"]["size"], "2Gi");
    let commit = made["commit"].as_str().expect("a commit");

    let clone = manager.clone_state("clone");
    let shown = git_ok(&clone, &["log", "-1", "--format=%H%n%an%n%cn%n%B"]);
    assert!(shown.starts_with(commit), "{shown}");
    for line in ["Claude Manager", "checkout: create", "Source: api", "Request-Id: "] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    // What GET answers right afterwards is what was committed.
    let read = manager.expect("GET", "/api/projects/checkout", None, 200).await;
    assert_eq!(read["name"], "Checkout: pay & go");
    assert_eq!(read["revision"], commit);
    let list = manager.expect("GET", "/api/projects?page=1&limit=10", None, 200).await;
    assert_eq!(list["total"], 1);

    // A start of what runs changes nothing and makes no commit.
    let again = manager.expect("POST", "/api/projects/checkout/start", None, 200).await;
    assert_eq!(git_ok(&clone, &["ls-remote", "origin", "HEAD"]).split_whitespace().next(), Some(commit), "{again}");

    let stopped = manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    assert_eq!(stopped["replicas"], 0);
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;
    let gone = manager.api("DELETE", "/api/projects/checkout", None).await;
    assert!(gone.1["commit"].is_string(), "{gone:?}");
    let list = manager.expect("GET", "/api/projects", None, 200).await;
    assert!(list["total"] == 0 || list["items"][0]["phase"] == "Deleting", "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_in_clear_in_git_in_a_log_or_in_an_answer() {
    let manager = Manager::start(&[("LOG_LEVEL", "trace")]);
    let made = manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let mut bad = checkout();
    bad["shortName"] = json!("UPPER");
    let refused = manager.expect("POST", "/api/projects", Some(bad), 400).await;
    let refresh = manager.expect("POST", "/api/projects/checkout/refresh", None, 200).await;
    let plan = manager.command(&["plan", "--ref", "HEAD~1"]).output().expect("plan");
    let clone = manager.clone_state("clone");
    let all = git_ok(&clone, &["log", "-p", "--all"]);
    assert!(all.contains("ENC[AES256_GCM"), "the secrets are there, encrypted");
    let answers = format!("{made}{refused}{refresh}");
    let plan = format!("{}{}", String::from_utf8_lossy(&plan.stdout), String::from_utf8_lossy(&plan.stderr));
    for secret in ["sk-ant-very-secret", "ghp_very_secret"] {
        for (place, text) in [("git", &all), ("log", &manager.log()), ("answers", &answers), ("plan", &plan)] {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
    assert!(!manager.log().contains(&manager.token()), "the token in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_by_field_and_commits_nothing() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let clone = manager.clone_state("clone");
    let head = || git_ok(&clone, &["ls-remote", "origin", "HEAD"]);
    let before = head();
    let cases: Vec<(Value, u16, &str)> = vec![
        (json!({"name": "x", "shortName": "No", "gitRepository": "https://h/x"}), 400, "shortName"),
        (json!({"name": "", "shortName": "x", "gitRepository": "https://h/x"}), 400, "name"),
        (json!({"name": "x".repeat(101), "shortName": "x", "gitRepository": "https://h/x"}), 400, "name"),
        (json!({"name": "x", "shortName": "x", "gitRepository": "ftp://h/x"}), 400, "gitRepository"),
        (json!({"name": "x", "shortName": "x", "gitRepository": "https://h/x", "colour": 1}), 400, "colour"),
        (json!({"name": 5, "shortName": "x", "gitRepository": "https://h/x"}), 400, "name"),
        (
            json!({"name": "x", "shortName": "x", "gitRepository": "https://h/x", "resources": {"cpu": "much"}}),
            400,
            "resources.cpu",
        ),
        (
            json!({"name": "x", "shortName": "x", "gitRepository": "https://h/x", "storage": {"size": "-1Gi"}}),
            400,
            "storage.size",
        ),
        (checkout(), 409, "shortName"),
    ];
    for (body, status, field) in cases {
        let answer = manager.expect("POST", "/api/projects", Some(body.clone()), status).await;
        let named = answer["errors"].as_array().into_iter().flatten().any(|error| error["field"] == field);
        assert!(named, "{body} has to name {field}: {answer:#}");
    }
    manager.expect("PUT", "/api/projects/checkout", Some(json!({"shortName": "other"})), 400).await;
    manager.expect("PUT", "/api/projects/checkout", Some(json!({"storage": {"size": "1Gi"}})), 400).await;
    manager.expect("PUT", "/api/projects/nobody", Some(json!({"name": "x"})), 404).await;
    manager.expect("DELETE", "/api/projects/nobody", None, 404).await;
    assert_eq!(head(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_comments_and_layout_survive_what_the_api_edits() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/checkout/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    let edited = text.replace("count: 1", "count:   1   # Ana: keep it running") + "\n# The end.\n";
    assert_ne!(text, edited);
    std::fs::write(&overlay, &edited).expect("written");
    git_ok(&clone, &["commit", "-qam", "checkout: a note"]);
    git_ok(&clone, &["push", "-q"]);
    manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    git_ok(&clone, &["pull", "-q"]);
    let after = std::fs::read_to_string(&overlay).expect("the overlay");
    assert_eq!(after, edited.replace("count:   1 ", "count:   0 "));
    let log = git_ok(&clone, &["log", "-3", "--format=%an"]);
    assert_eq!(log.lines().nth(1), Some("Ana Lopes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_by_path_is_picked_up_within_a_second_and_a_bad_one_is_refused() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/checkout/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replace("count: 1", "count: 0")).expect("written");
    git_ok(&clone, &["commit", "-qam", "checkout: stop"]);
    git_ok(&clone, &["push", "-q"]);
    let pushed = std::time::Instant::now();
    manager.project_until("checkout", |project| project["replicas"] == 0).await;
    assert!(pushed.elapsed() < std::time::Duration::from_secs(1), "{:?}", pushed.elapsed());

    let broken = text.replace("namePrefix", "namePrefixx");
    std::fs::write(&overlay, broken).expect("written");
    git_ok(&clone, &["commit", "-qam", "checkout: a typing error"]);
    let push = git(&clone, &["push", "-q"]);
    assert!(!push.status.success());
    let told = String::from_utf8_lossy(&push.stderr).into_owned();
    assert!(told.contains("projects/checkout/kustomization.yaml") && told.contains("namePrefixx"), "{told}");

    // A Secret in clear is refused as well.
    git_ok(&clone, &["reset", "-q", "--hard", "origin/main"]);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  key: in-clear\n";
    std::fs::write(clone.join("projects/checkout/secret.yaml"), secret).expect("written");
    git_ok(&clone, &["add", "-A"]);
    git_ok(&clone, &["commit", "-qm", "checkout: a secret in clear"]);
    let push = git(&clone, &["push", "-q"]);
    assert!(!push.status.success(), "{push:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_overlay_is_reported_on_its_project_alone() {
    // The hook keeps broken overlays out; a repository that had one before, or a remote, does not have our hook.
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let mut other = checkout();
    other["shortName"] = json!("other");
    manager.expect("POST", "/api/projects", Some(other), 201).await;
    std::fs::remove_file(manager.data().join("state.git/hooks/pre-receive")).expect("the hook");
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/checkout/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replace("../../base", "../../basement")).expect("written");
    let other = clone.join("projects/other/kustomization.yaml");
    let text = std::fs::read_to_string(&other).expect("the overlay");
    std::fs::write(&other, text.replace("count: 1", "count: 0")).expect("written");
    git_ok(&clone, &["commit", "-qam", "one broken, one stopped"]);
    git_ok(&clone, &["push", "-q"]);
    let broken = manager.project_until("checkout", |project| project["reason"] == "RenderFailed").await;
    assert_eq!(broken["phase"], "Failed");
    assert!(broken["message"].as_str().is_some_and(|text| text.contains("basement")), "{broken}");
    manager.project_until("other", |project| project["phase"] == "Stopped").await;
    manager.expect("GET", "/readyz", None, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_commit_survives_kill_9_and_the_next_start_finds_everything() {
    let mut manager = Manager::embedded();
    for round in 0..5 {
        let body = json!({"name": "x", "shortName": format!("p{round}"), "gitRepository": "https://h/x"});
        let made = manager.expect("POST", "/api/projects", Some(body), 201).await;
        let token = manager.token();
        manager.kill();
        let git_dir = manager.data().join("state.git");
        let head = git_ok(&git_dir, &["rev-parse", "main"]);
        assert_eq!(head.trim(), made["commit"]);
        let fsck = git(&git_dir, &["fsck", "--strict"]);
        assert!(fsck.status.success(), "{fsck:?}");
        manager.run();
        assert_eq!(manager.token(), token);
        let list = manager.expect("GET", "/api/projects", None, 200).await;
        assert_eq!(list["total"], round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_manager_on_the_same_data_says_so() {
    let manager = Manager::embedded();
    let second = manager.command(&["serve"]).output().expect("the program");
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("another claude-manager works in"), "{told}");
    assert!(manager.pid() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_a_revision_would_change_and_exits_with_2() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    manager.project_until("checkout", |project| project["appliedRevision"].is_string()).await;
    let plan = manager.command(&["plan"]).output().expect("plan");
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;
    let plan = manager.command(&["plan", "--ref", "HEAD~1"]).output().expect("plan");
    assert_eq!(plan.status.code(), Some(2), "{plan:?}");
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(text.contains("spec.replicas"), "{text}");
    let plan = manager.command(&["plan", "--ref", "nothing-such"]).output().expect("plan");
    assert_eq!(plan.status.code(), Some(1), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_repository_is_seeded_pushed_to_and_polled() {
    let outside = tempfile::tempdir().expect("a directory");
    git_ok(outside.path(), &["init", "-q", "--bare", "--initial-branch=main", "remote.git"]);
    let remote = outside.path().join("remote.git").display().to_string();
    let manager = Manager::start(&[("STATE_GIT_REPOSITORY", &remote), ("STATE_GIT_POLL_SECONDS", "1")]);
    let made = manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    assert_eq!(git_ok(outside.path(), &["-C", "remote.git", "rev-parse", "main"]).trim(), made["commit"]);

    git_ok(outside.path(), &["clone", "-q", &remote, "clone"]);
    let clone = outside.path().join("clone");
    let overlay = clone.join("projects/checkout/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replace("count: 1", "count: 0")).expect("written");
    git_ok(&clone, &["commit", "-qam", "checkout: stop"]);
    git_ok(&clone, &["push", "-q"]);
    // A write meanwhile is made on the new head, never instead of it.
    manager.expect("PUT", "/api/projects/checkout", Some(json!({"name": "New name"})), 200).await;
    let read = manager.project_until("checkout", |project| project["replicas"] == 0).await;
    assert_eq!(read["name"], "New name");
    git_ok(&clone, &["pull", "-q"]);
    assert_eq!(git_ok(&clone, &["log", "--format=%an", "-2"]), "Administrator\nAna Lopes\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_the_root_was_broken_is_not_forgotten_when_it_is_mended() {
    let mut manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    std::fs::remove_file(manager.data().join("state.git/hooks/pre-receive")).expect("the hook");
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/checkout/kustomization.yaml");
    let root = clone.join("kustomization.yaml");
    let (good, text) = (std::fs::read_to_string(&root).expect("it"), std::fs::read_to_string(&overlay).expect("it"));
    std::fs::write(&overlay, text.replace("count: 1", "count: 0")).expect("written");
    std::fs::write(&root, good.replace("resources:", "resourcez:")).expect("written");
    git_ok(&clone, &["commit", "-qam", "stop, and a typing error in the root"]);
    git_ok(&clone, &["push", "-q"]);
    for _ in 0..100 {
        let status = manager.api("GET", "/api/monitoring/health", None).await.1;
        if status.to_string().contains("resourcez") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Nothing is given up because the root cannot be read, not even by a start in this state.
    let read = manager.expect("GET", "/api/projects/checkout", None, 200).await;
    assert_eq!(read["replicas"], 1);
    manager.kill();
    manager.run();
    let read = manager.project_until("checkout", |project| project["appliedRevision"].is_string()).await;
    assert_eq!(read["replicas"], 1);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let journal = std::fs::read_to_string(manager.data().join("cluster/objects.jsonl")).expect("the journal");
    assert!(!journal.contains("\"gone\""), "something was deleted");
    let status = manager.expect("GET", "/api/monitoring/status", None, 200).await;
    assert!(status.to_string().contains("resourcez"), "{status:#}");
    std::fs::remove_file(manager.data().join("state.git/hooks/pre-receive")).expect("the hook");
    std::fs::write(&root, good).expect("written");
    git_ok(&clone, &["commit", "-qam", "mend the root"]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_disk_refuses_is_not_acknowledged_and_loses_nothing() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(checkout()), 201).await;
    let git_dir = manager.data().join("state.git");
    let before = git_ok(&git_dir, &["rev-parse", "main"]);
    // Something stands where new objects are written, as if the disk were full.
    let staging = git_dir.join("objects/tmp_objdir-claude-manager");
    std::fs::write(&staging, "in the way").expect("written");
    let refused = manager.expect("POST", "/api/projects/checkout/stop", None, 503).await;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("tmp_objdir-claude-manager")), "{refused}");
    assert_eq!(git_ok(&git_dir, &["rev-parse", "main"]), before);
    assert!(git(&git_dir, &["fsck", "--strict"]).status.success());
    assert_eq!(manager.expect("GET", "/api/projects/checkout", None, 200).await["replicas"], 1);
    std::fs::remove_file(&staging).expect("removed");
    let stopped = manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    assert_eq!(stopped["replicas"], 0);
}
