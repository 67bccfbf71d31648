//! Plans, and what is done about one that somebody has looked at.

use super::*;

#[tokio::test]
async fn a_plan_is_shown_with_its_hash_and_without_secrets() {
    let app = TestApp::new().await;
    set_plan(&app);
    let vera = Browser::new(&app, "viewer").await;
    let page = vera.get("/plan?revision=main&server=true").await;
    assert!(page.text.contains("~ StatefulSet.apps team/alpha-env (drift: spec.replicas)"), "{}", page.text);
    assert!(page.text.contains("does not build") && page.text.contains("id=\"hash\""), "{}", page.text);
    assert_eq!(vera.get("/plan?revision=nowhere").await.status, StatusCode::NOT_FOUND);

    let answer = app.get("/api/plan?revision=main").await.json();
    assert_eq!((&answer["changed"], &answer["created"]), (&json!(1), &json!(1)), "{answer:#}");
    let action = &answer["units"][0]["actions"][1];
    assert_eq!(
        action["object"],
        json!({"group": "apps", "kind": "StatefulSet", "namespace": "team", "name": "alpha-env"})
    );
    assert_eq!(action["changes"], json!([{"path": "spec.replicas", "before": 0, "after": 1}]));
    assert_eq!(answer["errors"], json!([{"project": "beta", "message": "does not build"}]));
    assert!(!answer.to_string().contains("aHVudGVyMg") && answer["text"].to_string().contains("***"), "{answer:#}");

    // A project's own needs a cluster that was seen, too.
    let own = app.get("/api/projects/alpha/plan").await.json();
    assert_eq!((&own["unchanged"], &own["units"][0]["unchanged"]), (&json!(4), &json!(4)), "of six, two are written");
    assert_eq!(own["hash"], answer["hash"]);
    let away = Snapshot { synced: false, ..(**app.script.snapshot.lock().unwrap()).clone() };
    *app.script.snapshot.lock().unwrap() = Arc::new(away);
    assert_eq!(app.get("/api/projects/alpha/plan").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.get("/api/projects/alpha/plan?revision=main").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.get("/api/projects/gamma/plan").await.status, StatusCode::NOT_FOUND);
}

/// A Secret is to be made, and a StatefulSet to be changed.
fn set_plan(app: &TestApp) {
    set_alpha(app, |alpha| {
        let secret = json!({"metadata": {"name": "alpha-secrets"}, "data": {"token": "aHVudGVyMg=="}});
        let create = Action {
            operation: Operation::Create(crate::plan::Content::new(secret)),
            reason: "not in the cluster".to_owned(),
            ..delete("Secret", "alpha-secrets")
        };
        let change =
            crate::plan::FieldChange { path: "spec.replicas".into(), before: Some(json!(0)), after: Some(json!(1)) };
        let update = Action {
            operation: Operation::Update { object: crate::plan::Content::new(json!({})), take_over: false },
            reason: "drift: spec.replicas".to_owned(),
            changes: vec![change],
            ..delete("StatefulSet", "alpha-env")
        };
        let actions = vec![create, update];
        alpha.plan = Arc::new(UnitPlan { unit: Unit::Project(name("alpha")), actions, held: Vec::new() });
    });
}

/// A volume is to go.
fn set_volume_plan(app: &TestApp) {
    set_alpha(app, |alpha| {
        let actions = vec![delete("PersistentVolumeClaim", "alpha-workspace")];
        alpha.plan = Arc::new(UnitPlan { unit: Unit::Project(name("alpha")), actions, held: Vec::new() });
    });
}

#[tokio::test]
async fn a_plan_is_applied_by_its_tag_and_only_by_that() {
    let app = TestApp::new().await;
    set_plan(&app);
    for path in ["/api/plan", "/api/projects/alpha/plan"] {
        let seen = app.get(path).await;
        let tag = seen.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", seen.json()["hash"].as_str().unwrap()));
        let post = async |headers: &[(&str, &str)]| app.send("POST", path, headers, "").await;
        let [ana, olga, vera] = ["admin", "operator", "viewer"].map(|who| format!("Bearer {who}"));

        let without = post(&[("authorization", &ana)]).await;
        assert_eq!((without.status, without.problem().as_str()), (StatusCode::PRECONDITION_REQUIRED, "plan-required"));
        let any = post(&[("authorization", &ana), ("if-match", "*")]).await;
        assert_eq!(any.status, StatusCode::PRECONDITION_REQUIRED, "whatever it is was not looked at");
        let other = post(&[("authorization", &ana), ("if-match", "\"0123456789abcdef\"")]).await;
        assert_eq!((other.status, other.problem().as_str()), (StatusCode::PRECONDITION_FAILED, "changed"));
        assert_eq!(other.header("etag"), tag, "the answer says what it is now");
        let now = &other.json()["plan"];
        assert_eq!((&now["hash"], &now["created"], &now["changed"]), (&seen.json()["hash"], &json!(1), &json!(1)));
        let forbidden = post(&[("authorization", &vera), ("if-match", &tag)]).await;
        assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
        assert!(app.script.applied.lock().unwrap().is_empty());

        let done = post(&[("authorization", &olga), ("if-match", &tag)]).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        assert_eq!(std::mem::take(&mut *app.script.applied.lock().unwrap()), [seen.json()["hash"].as_str().unwrap()]);
    }
    for query in ["?revision=main", "?server=true", "?drift=warn"] {
        let reply = app.json("POST", &format!("/api/plan{query}"), &[("if-match", "\"x\"")], &json!({})).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let body = app.json("POST", "/api/plan", &[("if-match", "\"x\"")], &json!({"force": true})).await;
    assert_eq!(body.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_plan_that_gives_a_volume_up_needs_the_right_to_that() {
    let app = TestApp::new().await;
    set_volume_plan(&app);
    let tag = app.get("/api/projects/alpha/plan").await.header("etag").to_owned();
    for (who, expected) in [("operator", StatusCode::FORBIDDEN), ("admin", StatusCode::OK)] {
        let token = format!("Bearer {who}");
        let headers = [("authorization", token.as_str()), ("if-match", tag.as_str())];
        assert_eq!(app.send("POST", "/api/projects/alpha/plan", &headers, "").await.status, expected, "{who}");
    }
    assert_eq!(app.script.applied.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_of_a_plan_was_not_done_is_said() {
    let app = TestApp::with(&[], |script| {
        script.failures = vec![(Unit::Project(name("alpha")), "Secret alpha-secrets: forbidden".to_owned())]
    })
    .await;
    set_plan(&app);
    let tag = app.get("/api/projects/alpha/plan").await.header("etag").to_owned();
    let reply = app.json("POST", "/api/projects/alpha/plan", &[("if-match", &tag)], &json!({})).await;
    let said = json!([{"project": "alpha", "message": "Secret alpha-secrets: forbidden"}]);
    assert_eq!((reply.status, &reply.json()["errors"]), (StatusCode::OK, &said), "{}", reply.text);

    let ana = Browser::new(&app, "admin").await;
    let fields = [("plan", tag.trim_matches('"')), ("project", "alpha")];
    let page = ana.post("/plan", &fields).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Some actions failed") && page.text.contains("alpha-secrets: forbidden"));
}

#[tokio::test]
async fn the_button_below_a_plan_carries_its_hash() {
    let app = TestApp::new().await;
    set_plan(&app);
    let ana = Browser::new(&app, "operator").await;
    let page = ana.get("/plan?project=alpha&drift=correct").await;
    let hash = page.text.split("name=\"plan\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(page.text.contains("name=\"project\" value=\"alpha\"") && page.text.contains("value=\"correct\""));

    // Looked at too long: nothing is done, and what it is now is shown.
    let stale = ana.post("/plan", &[("plan", "0123456789abcdef"), ("project", "alpha")]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert!(stale.text.contains("has changed since it was looked at") && stale.text.contains(&hash), "{}", stale.text);
    assert!(app.script.applied.lock().unwrap().is_empty());

    let done = ana.post("/plan", &[("plan", &hash), ("project", "alpha"), ("drift", "correct")]).await;
    assert_eq!(done.header("location"), "/plan?project=alpha&drift=correct");
    assert!(ana.follow(&done).await.text.contains("is as its plan was: commit"));
    let all = ana.post("/plan", &[("plan", &hash)]).await;
    assert!(ana.follow(&all).await.text.contains("Everything is as its plan was"), "{}", all.text);
    assert_eq!(*app.script.applied.lock().unwrap(), [hash.clone(), hash.clone()]);

    // Nobody is offered what they may not do, or what is no plan of the head.
    let vera = Browser::new(&app, "viewer").await;
    assert!(!vera.get("/plan").await.text.contains("id=\"apply\""));
    assert_eq!(vera.post("/plan", &[("plan", &hash)]).await.status, StatusCode::FORBIDDEN);
    assert!(!ana.get("/plan?revision=main").await.text.contains("id=\"apply\""));
}

/// `count` projects are gone from Git, and their deletion is held; `alpha` stays.
fn hold_deletions(app: &TestApp, count: usize) {
    let mut new = snapshot();
    for number in 0..count {
        let gone = name(&format!("gone-{number}"));
        let mut project =
            state(spec(gone.as_str(), "Gone", "2026-11-01T00:00:00Z"), Phase::Running, Reason::DeletionHeld);
        project.status.message = "Nothing is deleted yet: too many are gone at once.".to_owned();
        (project.spec, project.overlay_id) = (None, None);
        let actions = vec![delete("StatefulSet", &format!("{gone}-env"))];
        project.plan = Arc::new(UnitPlan { unit: Unit::Project(gone.clone()), actions, held: Vec::new() });
        new.projects.insert(gone, Arc::new(project));
    }
    *app.script.snapshot.lock().unwrap() = Arc::new(new);
}

fn hash_in(page: &str) -> String {
    page.split("name=\"plan\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_mass_deletion_is_confirmed_by_its_number_and_one_by_its_name() {
    let app = TestApp::new().await;
    let olga = Browser::new(&app, "operator").await;
    for (count, query, button, word) in [
        (8, "", "Delete 8 projects", "8"),
        (1, "", "Delete gone-0", "gone-0"),
        (8, "?project=gone-3", "Delete gone-3", "gone-3"),
    ] {
        hold_deletions(&app, count);
        let page = olga.get(&format!("/plan{query}")).await.text;
        assert!(page.contains("class=\"danger primary\" id=\"apply\"") && page.contains(button), "{page}");
        assert!(page.contains("too many are gone at once"), "and why it is held: {page}");
        assert!(!page.contains("Apply this plan"), "the ordinary button confirms none: {page}");
        let hash = hash_in(&page);
        let project = query.trim_start_matches("?project=");
        for wrong in ["", "9", "yes", "gone"] {
            let fields = [("plan", hash.as_str()), ("project", project), ("confirm", wrong)];
            let refused = olga.post("/plan", &fields).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
            assert!(refused.text.contains("Nothing was done"), "{}", refused.text);
        }
        assert!(app.script.applied.lock().unwrap().is_empty());
        let done = olga.post("/plan", &[("plan", &hash), ("project", project), ("confirm", word)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        assert_eq!(std::mem::take(&mut *app.script.applied.lock().unwrap()), [hash]);
    }
    let vera = Browser::new(&app, "viewer").await;
    let page = vera.get("/plan").await.text;
    assert!(page.contains("8 deletions are held") && !page.contains("id=\"apply\""), "{page}");
    let page = vera.get("/projects/gone-1").await.text;
    assert!(page.contains("The deletion of this project is held") && !page.contains("/delete\""), "{page}");
}
