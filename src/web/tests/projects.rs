//! Projects: what reads answer, what writes commit.

use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn a_project_reads_in_the_documented_shape() {
    let app = TestApp::new().await;
    let reply = app.get("/api/projects/alpha").await;
    assert_eq!(
        reply.json(),
        json!({
            "id": "alpha",
            "name": "Alpha",
            "shortName": "alpha",
            "gitRepository": "https://git.example/team/alpha.git",
            "gitBranch": null,
            "phase": "Running",
            "reason": "Ready",
            "message": "a sentence",
            "replicas": 1,
            "resources": { "cpu": "500m", "memory": null },
            "storage": { "size": "20Gi", "storageClass": null },
            "usage": null,
            "image": "claude-dev-env:latest",
            "jiraIssue": null,
            "suspended": null,
            "urls": { "self": "/api/projects/alpha" },
            "revision": COMMIT,
            "appliedRevision": COMMIT,
            "createdAt": "2026-11-02T00:00:00Z",
            "updatedAt": "2026-11-02T00:00:00Z",
        })
    );
    assert_eq!(reply.header("etag"), format!("\"{OVERLAY}\""));
}

#[tokio::test]
async fn a_project_that_does_not_build_still_reads() {
    let app = TestApp::new().await;
    let mut broken = snapshot();
    let mut project = ProjectState::clone(&broken.projects[&name("alpha")]);
    project.spec = None;
    project.status.phase = Phase::Failed;
    project.status.reason = Reason::RenderFailed;
    broken.projects.insert(name("alpha"), Arc::new(project));
    *app.script.snapshot.lock().unwrap() = Arc::new(broken);
    let body = app.get("/api/projects/alpha").await.json();
    assert_eq!((&body["name"], &body["phase"], &body["replicas"]), (&json!("alpha"), &json!("Failed"), &json!(null)));
    assert_eq!(app.get("/api/projects?q=alpha").await.json()["total"], 1);
}

#[tokio::test]
async fn before_the_repository_is_read_nothing_is_said_to_be_missing() {
    let app = TestApp::new().await;
    *app.script.snapshot.lock().unwrap() = Arc::new(Snapshot::default());
    for path in ["/api/projects", "/api/projects/alpha"] {
        let reply = app.get(path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
        assert_eq!(reply.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn the_tag_is_the_overlays_and_hides_no_change_of_phase() {
    let app = TestApp::new().await;
    let tag = format!("\"{OVERLAY}\"");
    let headers = [("authorization", "Bearer admin"), ("if-none-match", tag.as_str())];
    let reply = app.send("GET", "/api/projects/alpha", &headers, "").await;
    assert_eq!((reply.status, reply.header("etag")), (StatusCode::OK, tag.as_str()));
}

#[tokio::test]
async fn what_is_no_project_is_not_found() {
    let app = TestApp::new().await;
    for id in ["gamma", "Alpha", "..%2falpha", "%ff", "a%0ab"] {
        let reply = app.get(&format!("/api/projects/{id}")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"), "{id}");
    }
    assert_eq!(app.json("POST", "/api/projects/gamma/refresh", &[], &json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_in_pages() {
    let app = TestApp::new().await;
    for (query, ids) in [
        ("", vec!["alpha", "beta"]),
        ("?sort=-name", vec!["beta", "alpha"]),
        ("?sort=createdAt", vec!["beta", "alpha"]),
        ("?sort=-updatedAt", vec!["alpha", "beta"]),
        ("?sort=phase", vec!["alpha", "beta"]),
        ("?q=ZETA", vec!["beta"]),
        ("?q=team/al", vec!["alpha"]),
        ("?phase=Stopped", vec!["beta"]),
        ("?phase=running&q=beta", vec![]),
        ("?page=2&limit=1", vec!["beta"]),
        ("?page=1000000&limit=100", vec![]),
    ] {
        let body = app.get(&format!("/api/projects{query}")).await.json();
        let found: Vec<&str> = body["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    }
    let body = app.get("/api/projects?page=2&limit=1").await.json();
    assert_eq!(
        (&body["page"], &body["limit"], &body["total"], &body["pages"]),
        (&json!(2), &json!(1), &json!(2), &json!(2))
    );

    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "limit=0",
        "limit=101",
        "phase=Up",
        "sort=id",
        "sort=--name",
        "colour=red",
        "page=1&page=2",
    ] {
        let reply = app.get(&format!("/api/projects?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        let field = query.split('=').next().unwrap();
        assert_eq!(reply.json()["errors"][0]["field"], field, "{query}");
    }
}

#[tokio::test]
async fn a_new_project_is_answered_from_its_commit() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://claude.example.com/x")], |_| {}).await;
    let reply = app.json("POST", "/api/projects", &[], &body()).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    let url = "https://claude.example.com/x/api/projects/gamma";
    assert_eq!(reply.header("location"), url);
    assert_eq!(reply.header("etag"), format!("\"{}\"", "3".repeat(40)));
    let answer = reply.json();
    for (field, value) in [
        ("id", json!("gamma")),
        ("name", json!("Committed")),
        ("phase", json!("Pending")),
        ("reason", json!("WaitingForApply")),
        ("commit", json!("4".repeat(40))),
        ("revision", json!("4".repeat(40))),
        ("changed", json!(true)),
        ("statusUrl", json!(url)),
        ("appliedRevision", json!(null)),
    ] {
        assert_eq!(answer[field], value, "{field}");
    }
    let submitted = app.script.submitted.lock().unwrap();
    let (intent, actor, _) = &submitted[0];
    assert!(matches!(intent, Intent::Create(new) if new.short_name.as_str() == "gamma"));
    assert_eq!((actor.principal.id.as_str(), actor.source.as_str()), ("ana", "api"));
}

#[tokio::test]
async fn after_a_write_the_status_is_that_of_the_snapshot_once_it_knows_the_commit() {
    let app = TestApp::with(&[], |script| {
        script.answer = |intent| Ok(Committed { overlay_id: Some(OVERLAY.to_owned()), ..committed(intent) });
    })
    .await;
    let answer = app.json("POST", "/api/projects/alpha/start", &[], &json!({})).await.json();
    assert_eq!((&answer["phase"], &answer["name"]), (&json!("Running"), &json!("Alpha")));
}

#[tokio::test]
async fn an_older_snapshot_never_answers_for_a_newer_commit() {
    let app = TestApp::new().await;
    let answer = app.json("PUT", "/api/projects/alpha", &[], &json!({ "name": "Committed" })).await.json();
    assert_eq!((&answer["phase"], &answer["name"]), (&json!("Pending"), &json!("Committed")));
    assert_eq!(answer["appliedRevision"], COMMIT, "what is applied is still the commit before");
}

#[tokio::test]
async fn start_stop_change_and_delete_are_intents() {
    let app = TestApp::new().await;
    for (method, path, body, status) in [
        ("POST", "/api/projects/alpha/start", "", 200),
        ("POST", "/api/projects/alpha/stop", "{}", 200),
        ("PUT", "/api/projects/alpha", "{\"name\":\"New\"}", 200),
        ("DELETE", "/api/projects/alpha", "", 202),
        ("DELETE", "/api/projects/alpha?volumes=delete", "", 202),
    ] {
        let headers = [("authorization", "Bearer admin"), ("content-type", "application/json")];
        let reply = app.send(method, path, &headers, body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {}", reply.text);
        assert_eq!(reply.json()["commit"], "4".repeat(40), "{method} {path}");
    }
    let submitted = app.script.submitted.lock().unwrap();
    let intents: Vec<String> = submitted.iter().map(|(intent, ..)| intent.subject()).collect();
    let expected = ["alpha: start", "alpha: stop", "alpha: change", "alpha: delete", "alpha: delete with volumes"];
    assert_eq!(intents, expected);
    assert!(matches!(&submitted[4].0, Intent::Delete(_, Volumes::Delete)));
}

#[tokio::test]
async fn a_deletion_says_what_becomes_of_the_volumes() {
    let app = TestApp::new().await;
    for (query, volumes, words) in [
        ("", "keep", "stay in the cluster"),
        ("?volumes=keep", "keep", "stay in the cluster"),
        ("?volumes=delete", "delete", "and its volumes alpha-workspace and alpha-config are deleted"),
    ] {
        let answer = app.json("DELETE", &format!("/api/projects/alpha{query}"), &[], &json!({})).await.json();
        assert_eq!(answer["volumes"], volumes);
        assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
    }
    for query in ["?volumes=all", "?volume=delete", "?volumes=keep&volumes=delete"] {
        let reply = app.json("DELETE", &format!("/api/projects/alpha{query}"), &[], &json!({})).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(app.submitted(), 3);
}

#[tokio::test]
async fn nothing_is_committed_for_a_wrong_body() {
    let app = TestApp::new().await;
    let reply = app.json("POST", "/api/projects", &[], &json!({ "name": "", "colour": "red" })).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "invalid"));
    let fields: Vec<Value> =
        reply.json()["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["shortName", "name", "gitRepository", "colour"]);
    assert_eq!(reply.json()["instance"], "/api/projects");
    app.json("PUT", "/api/projects/alpha", &[], &json!({ "shortName": "other" })).await;
    app.json("POST", "/api/projects/alpha/start", &[], &json!({ "force": true })).await;
    assert_eq!(app.submitted(), 0);
}

#[tokio::test]
async fn refusals_keep_their_kind_reason_and_fields() {
    for (answer, status, word) in [
        ((|_| refusal(ErrorKind::Conflict)) as fn(&Intent) -> _, 409, "conflict"),
        (|_| refusal(ErrorKind::PreconditionFailed), 412, "changed"),
        (|_| refusal(ErrorKind::NotFound), 404, "not-found"),
        (|_| refusal(ErrorKind::Forbidden), 403, "forbidden"),
        (|_| refusal(ErrorKind::Unavailable), 503, "unavailable"),
        (|_| refusal(ErrorKind::Invalid), 400, "invalid"),
    ] {
        let app = TestApp::with(&[], |script| script.answer = answer).await;
        let reply = app.json("PUT", "/api/projects/alpha", &[], &json!({})).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, word));
        let body = reply.json();
        assert_eq!((&body["detail"], &body["errors"][0]["field"]), (&json!("the reason"), &json!("shortName")));
        assert!(app.metrics.render().contains("project_operations_total{operation=\"change\",status=\"failure\"} 1"));
    }
}

fn refusal(kind: ErrorKind) -> Result<Committed, ChangeError> {
    let fields = vec![FieldError { field: "shortName".to_owned(), message: "is taken".to_owned() }];
    Err(ChangeError { kind, message: "the reason".to_owned(), fields })
}

#[tokio::test]
async fn if_match_reaches_the_commit() {
    let app = TestApp::new().await;
    let current = format!("\"{OVERLAY}\"");
    let several = format!("\"old\", {current}");
    for (given, expected) in [
        (current.as_str(), Some(OVERLAY)),
        ("\"old\"", Some("old")),
        (several.as_str(), Some(OVERLAY)),
        ("*", None),
        ("W/\"x\"", Some("W/\"x\"")),
    ] {
        app.json("PUT", "/api/projects/alpha", &[("if-match", given)], &json!({})).await;
        let submitted = app.script.submitted.lock().unwrap();
        assert_eq!(submitted.last().unwrap().2.as_deref(), expected, "{given}");
    }
    let reply = app.json("PUT", "/api/projects/alpha", &[("if-match", "bare")], &json!({})).await;
    assert_eq!(reply.json()["errors"][0]["field"], "If-Match");
}

#[tokio::test]
async fn a_repeated_request_is_executed_once() {
    let app = TestApp::new().await;
    let key = [("idempotency-key", "key-1")];
    let first = app.json("POST", "/api/projects", &key, &body()).await;
    let second = app.json("POST", "/api/projects", &key, &body()).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.json(), second.json());
    for header in ["etag", "location"] {
        assert_eq!(first.header(header), second.header(header));
    }
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
    assert_eq!(app.submitted(), 1);

    let mut other = body();
    other["name"] = json!("Other");
    let reply = app.json("POST", "/api/projects", &key, &other).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "key-reused"));
    let reply = app.json("POST", "/api/projects/alpha/stop", &key, &json!({})).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "another address is another request");
    let as_operator =
        [("authorization", "Bearer operator"), ("content-type", "application/json"), ("idempotency-key", "key-1")];
    let reply = app.send("POST", "/api/projects", &as_operator, &other.to_string()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "keys are kept for each principal");
    for bad in ["", &"k".repeat(256)] {
        let reply = app.json("POST", "/api/projects", &[("idempotency-key", bad)], &body()).await;
        assert_eq!(reply.json()["errors"][0]["field"], "Idempotency-Key");
    }
    assert_eq!(app.submitted(), 2);
}

#[tokio::test]
async fn a_refused_request_may_be_sent_again_with_its_key() {
    let app = TestApp::with(&[], |script| script.answer = |_| refusal(ErrorKind::Unavailable)).await;
    let key = [("idempotency-key", "key-1")];
    for _ in 0..2 {
        let reply = app.json("POST", "/api/projects", &key, &body()).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(app.submitted(), 2);
}

#[tokio::test]
async fn of_equal_requests_at_once_one_is_executed_and_the_others_are_told_to_wait() {
    let app = TestApp::with(&[], |script| script.pause = Duration::from_millis(300)).await;
    let (key, body) = ([("idempotency-key", "key-1")], body());
    let replies = futures::future::join_all((0..5).map(|_| app.json("POST", "/api/projects", &key, &body))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409]);
    assert_eq!(app.submitted(), 1);
}

#[tokio::test]
async fn no_secret_of_a_request_is_answered_or_logged() {
    // Places that log are asked once whether anybody listens, and another test's thread may be the first to ask; so
    // somebody listens from the beginning.
    let nobody = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::sink).finish();
    let _ = tracing::subscriber::set_global_default(nobody);
    tracing::callsite::rebuild_interest_cache();
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let app = TestApp::new().await;
    let mut good = body();
    good["anthropicApiKey"] = json!("hunter2");
    good["gitCredentials"] = json!({ "token": "hunter2" });
    good["sudoPassword"] = json!("hunter2");
    let mut bad = good.clone();
    bad["anthropicApiKey"] = json!("hunter2 hunter2");
    for (body, status) in [(good, StatusCode::CREATED), (bad, StatusCode::BAD_REQUEST)] {
        let reply = app.json("POST", "/api/projects", &[("idempotency-key", "hunter2")], &body).await;
        assert_eq!(reply.status, status);
        assert!(!reply.text.contains("hunter2"));
    }
    let submitted = app.script.submitted.lock().unwrap();
    assert!(!format!("{submitted:?}").contains("hunter2"), "what is submitted can be logged");
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("gamma: create") && !lines.contains("hunter2"), "{lines}");
}

/// Log lines in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_directory_of_this_machine_is_refused_for_a_cluster() {
    let app = TestApp::new().await;
    for repository in ["/home/me/app", "file:///home/me/app"] {
        let mut body = body();
        body["gitRepository"] = json!(repository);
        let reply = app.json("POST", "/api/projects", &[], &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.text.contains("cannot reach") && reply.text.contains("Git server"), "{}", reply.text);
    }
}
