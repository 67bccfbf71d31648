//! Pages as browsers meet them: what they say, what their forms do, and that every one of them is sound.

mod frame;
mod goldens;
mod html_check;
mod plan;

use super::sessions::sign_in;
use super::*;
use crate::git::{Folder, LogEntry, Person};
use crate::plan::{Action, Held, Operation};
use crate::project::ObjectKey;
pub(in crate::web::tests) use html_check::check;

pub(in crate::web::tests) const BROWSER: (&str, &str) = ("accept", "text/html");
const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Somebody at a browser.
pub(in crate::web::tests) struct Browser<'a> {
    app: &'a TestApp,
    cookie: String,
}

impl<'a> Browser<'a> {
    pub(in crate::web::tests) async fn new(app: &'a TestApp, token: &str) -> Self {
        Self { app, cookie: sign_in(app, token).await }
    }

    pub(in crate::web::tests) async fn get(&self, path: &str) -> Reply {
        let reply = self.app.send("GET", path, &[BROWSER, ("cookie", &self.cookie)], "").await;
        if reply.header("content-type").starts_with("text/html") && !path.starts_with("/fragments/") {
            check(path, &reply.text);
        }
        reply
    }

    pub(in crate::web::tests) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let reply = self.app.send("POST", path, &[BROWSER, HERE, FORM, ("cookie", &self.cookie)], &body).await;
        if !reply.text.is_empty() {
            check(path, &reply.text);
        }
        reply
    }

    /// Where a redirect leads, with what it set.
    pub(in crate::web::tests) async fn follow(&self, reply: &Reply) -> Reply {
        let set = reply.header("set-cookie").split(';').next().unwrap_or_default();
        let cookies = format!("{}; {set}", self.cookie);
        self.app.send("GET", reply.header("location"), &[BROWSER, ("cookie", &cookies)], "").await
    }
}

fn key(kind: &str, name: &str) -> ObjectKey {
    let group = if kind == "StatefulSet" { "apps" } else { "" };
    ObjectKey::new(group, kind, Some("team"), name)
}

fn delete(kind: &str, name: &str) -> Action {
    Action {
        key: key(kind, name),
        api_version: "v1".to_owned(),
        stage: 0,
        operation: Operation::Delete { uid: "u".to_owned() },
        reason: "not in Git any more".to_owned(),
        changes: Vec::new(),
    }
}

/// What deleting `alpha` would do.
fn deletion() -> Deletion {
    let unit = Unit::Project(name("alpha"));
    let going = || vec![delete("StatefulSet", "alpha-env"), delete("Service", "alpha-env")];
    let held = |kind, what: &str, reason: &str| Held { key: key(kind, what), reason: reason.to_owned() };
    let ours = || held("Namespace", "team", "namespaces are never deleted");
    let volume = || held("PersistentVolumeClaim", "alpha-workspace", "volumes are kept");
    let mut with = going();
    with.push(delete("PersistentVolumeClaim", "alpha-workspace"));
    Deletion {
        keeping_volumes: UnitPlan { unit: unit.clone(), actions: going(), held: vec![ours(), volume()] },
        with_volumes: UnitPlan { unit, actions: with, held: vec![ours()] },
    }
}

fn folder() -> Folder {
    let entry = |subject: &str, source: &str| LogEntry {
        revision: revision(COMMIT),
        author: Person { name: "Ana Lopes".to_owned(), email: "ana@example.org".to_owned() },
        time: "2026-11-24T10:00:00Z".parse().unwrap(),
        subject: subject.to_owned(),
        trailers: vec![("Source".to_owned(), source.to_owned())],
    };
    Folder {
        text: Some("# by hand\nreplicas:\n- name: env\n  count: 1\n".to_owned()),
        commits: vec![entry("alpha: stop", "ui"), entry("alpha: create", "api")],
    }
}

async fn app() -> TestApp {
    TestApp::with(&[], |script| {
        script.deletion = Some(deletion());
        script.folder = folder();
    })
    .await
}

/// The snapshot with `change` made to `alpha`.
fn set_alpha(app: &TestApp, change: impl FnOnce(&mut ProjectState)) {
    let mut new = snapshot();
    let mut alpha = ProjectState::clone(&new.projects[&name("alpha")]);
    change(&mut alpha);
    new.projects.insert(name("alpha"), Arc::new(alpha));
    *app.script.snapshot.lock().unwrap() = Arc::new(new);
}

#[tokio::test]
async fn a_project_is_made_by_the_form_as_by_the_api_and_the_page_after_it_names_the_commit() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    ana.get("/new").await;
    let fields = [
        ("name", "My Shop"),
        ("shortName", ""),
        ("gitRepository", "https://git.example/team/shop.git"),
        ("gitBranch", "main"),
        ("resources.cpu", "2"),
        ("storage.size", "30Gi"),
        ("gitCredentials.token", "hunter2"),
        ("sudoPassword", ""),
    ];
    let reply = ana.post("/projects", &fields).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (StatusCode::SEE_OTHER, "/projects/my-shop"),
        "{}",
        reply.text
    );
    {
        let submitted = app.script.submitted.lock().unwrap();
        let (Intent::Create(new), actor, _) = &submitted[0] else { panic!("no create") };
        assert_eq!((new.short_name.as_str(), new.name.as_str()), ("my-shop", "My Shop"));
        assert_eq!(new.resources.cpu, Some(Quantity::parse("2").unwrap()));
        assert_eq!(new.workspace_size, Quantity::parse("30Gi").unwrap());
        assert_eq!(new.secrets.len(), 1);
        assert_eq!((actor.principal.id.as_str(), actor.source.as_str()), ("ana", "ui"));
    }
    let mut known = snapshot();
    let made = state(spec("my-shop", "My Shop", "2026-11-24T00:00:00Z"), Phase::Pending, Reason::WaitingForApply);
    known.projects.insert(name("my-shop"), Arc::new(made));
    *app.script.snapshot.lock().unwrap() = Arc::new(known);
    let page = ana.follow(&reply).await;
    assert!(page.text.contains("is made") && page.text.contains(&"4".repeat(40)), "{}", page.text);
    assert!(page.header("set-cookie").contains("Max-Age=0"), "it is told once");
}

#[tokio::test]
async fn every_mistake_is_told_beside_its_field_and_nothing_typed_is_lost_but_secrets() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let fields = [
        ("name", "Shop \"<b>"),
        ("shortName", "Bad Name"),
        ("gitRepository", "ftp://x"),
        ("resources.memory", "lots"),
        ("storage.storageClass", "fast-ssd"),
        ("gitCredentials.token", "hunter2 hunter2"),
        ("gitCredentials.knownHosts", "one\ntwo"),
        ("anthropicApiKey", "sk-secret"),
    ];
    let reply = ana.post("/projects", &fields).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    for id in ["shortName", "gitRepository", "resources-memory", "gitCredentials-token", "gitCredentials-knownHosts"] {
        assert!(reply.text.contains(&format!("id=\"{id}-error\"")), "{id}: {}", reply.text);
        assert!(reply.text.contains(&format!("href=\"#{id}\"")), "{id}: {}", reply.text);
    }
    for typed in ["Shop &quot;&lt;b&gt;", "Bad Name", "ftp://x", "lots", "fast-ssd", "one\ntwo"] {
        assert!(reply.text.contains(typed), "{typed}: {}", reply.text);
    }
    assert!(!reply.text.contains("hunter2") && !reply.text.contains("sk-secret"), "{}", reply.text);
    assert!(reply.text.contains("Type them again"), "{}", reply.text);
    assert_eq!(app.submitted(), 0);
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_beside_the_short_name() {
    let taken = |_: &Intent| {
        let field = FieldError { field: "shortName".to_owned(), message: "is taken".to_owned() };
        Err(ChangeError { kind: ErrorKind::Conflict, message: "there is one".to_owned(), fields: vec![field] })
    };
    let app = TestApp::with(&[], |script| script.answer = taken).await;
    let ana = Browser::new(&app, "admin").await;
    let fields = [("name", "Alpha"), ("gitRepository", "https://git.example/a.git")];
    let reply = ana.post("/projects", &fields).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text.contains("Is taken.") && reply.text.contains("value=\"alpha\""), "{}", reply.text);
}

#[tokio::test]
async fn start_and_stop_are_commits_by_ui() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    assert!(ana.get("/projects/alpha").await.text.contains("action=\"/projects/alpha/stop\""));
    assert!(ana.get("/projects/beta").await.text.contains("action=\"/projects/beta/stop\""), "beta has a replica");
    let reply = ana.post("/projects/alpha/stop", &[]).await;
    assert_eq!(reply.header("location"), "/projects/alpha");
    assert!(ana.follow(&reply).await.text.contains("is to stop"));
    ana.post("/projects/alpha/start", &[]).await;
    let submitted = app.script.submitted.lock().unwrap();
    assert!(matches!(&submitted[0].0, Intent::Stop(name) if name.as_str() == "alpha"));
    assert!(matches!(&submitted[1].0, Intent::Start(name) if name.as_str() == "alpha"));
    assert!(submitted.iter().all(|(_, actor, _)| actor.source.as_str() == "ui"));
}

#[tokio::test]
async fn a_delete_shows_its_plan_and_asks_for_the_volumes_and_the_name() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/alpha/delete").await.text;
    for shown in ["alpha-env", "Namespaces are never deleted.", "alpha-workspace"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("checked"), "neither choice is made for anybody: {page}");

    for (fields, faults) in [
        (vec![], 2),
        (vec![("confirm", "alpha")], 1),
        (vec![("volumes", "keep")], 1),
        (vec![("volumes", "keep"), ("confirm", "alpah")], 1),
        (vec![("volumes", "perhaps"), ("confirm", "alpha")], 1),
    ] {
        let reply = ana.post("/projects/alpha/delete", &fields).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{fields:?}");
        assert_eq!(reply.text.matches("class=\"error\"").count(), faults, "{fields:?}: {}", reply.text);
    }
    assert_eq!(app.submitted(), 0);

    let fields = [("volumes", "delete"), ("confirm", " alpha "), ("overlay", OVERLAY)];
    let reply = ana.post("/projects/alpha/delete", &fields).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/projects"));
    let submitted = app.script.submitted.lock().unwrap();
    assert!(matches!(&submitted[0].0, Intent::Delete(name, Volumes::Delete) if name.as_str() == "alpha"));
    assert_eq!(submitted[0].2.as_deref(), Some(OVERLAY), "what was planned is what is deleted");
}

#[tokio::test]
async fn a_delete_can_be_decided_while_the_cluster_is_away() {
    let app = TestApp::new().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/alpha/delete").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("What would be deleted cannot be shown"), "{}", page.text);
}

#[tokio::test]
async fn what_somebody_may_not_do_is_neither_offered_nor_done() {
    let app = app().await;
    let vera = Browser::new(&app, "viewer").await;
    for path in ["/projects", "/projects/alpha"] {
        let page = vera.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        for offered in ["action=\"/projects/alpha/stop\"", "/projects/alpha/delete", "class=\"button\" href=\"/new\""] {
            assert!(!page.text.contains(offered), "{path}: {offered}");
        }
    }
    for path in ["/new", "/projects/alpha/delete"] {
        assert_eq!(vera.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/projects", "/projects/alpha/start", "/projects/alpha/stop", "/projects/alpha/delete"] {
        assert_eq!(vera.post(path, &[]).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let olga = Browser::new(&app, "operator").await;
    assert!(olga.get("/projects/alpha/delete").await.text.contains("Only an administrator"));
    let fields = [("volumes", "delete"), ("confirm", "alpha")];
    assert_eq!(olga.post("/projects/alpha/delete", &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.submitted(), 0);
}

#[tokio::test]
async fn the_list_is_filtered_and_in_pages_that_keep_the_filter() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects?q=zeta&phase=").await.text;
    assert!(page.contains("/projects/beta") && !page.contains("/projects/alpha"), "{page}");
    assert!(ana.get("/projects?phase=Failed").await.text.contains("No project matches."));
    let page = ana.get("/projects?q=team&limit=1&page=2").await.text;
    assert!(page.contains("href=\"/projects?q=team&amp;limit=1&amp;page=1\""), "{page}");
    assert!(page.contains("Page 2 of 2"), "{page}");
    assert_eq!(ana.get("/projects?phase=Up").await.status, StatusCode::BAD_REQUEST);
    *app.script.snapshot.lock().unwrap() = Arc::new(Snapshot { projects: BTreeMap::new(), ..snapshot() });
    assert!(ana.get("/projects").await.text.contains("Create the first project"));
}

#[tokio::test]
async fn a_fragment_that_has_not_changed_is_not_sent_again() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    for path in ["/fragments/projects/alpha", "/fragments/projects"] {
        let page = ana.get(&path.replace("/fragments", "")).await.text;
        let first = ana.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(page.contains(&format!("data-tag=\"{}\"", tag.replace('"', "&quot;"))), "the page has the tag already");
        let headers = [("cookie", ana.cookie.as_str()), ("if-none-match", tag.as_str())];
        let again = app.send("GET", path, &headers, "").await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        set_alpha(&app, |alpha| alpha.status.phase = Phase::Failed);
        let changed = app.send("GET", path, &headers, "").await;
        assert_eq!(changed.status, StatusCode::OK, "{path}");
        assert!(changed.text.contains("Failed"), "{}", changed.text);
        set_alpha(&app, |_| {});
    }
}

#[tokio::test]
async fn pages_allow_no_code_but_our_file_and_no_frame() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    for path in ["/", "/projects", "/new", "/projects/alpha", "/projects/alpha/config", "/settings", "/nothing"] {
        let page = ana.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        // Without a referrer, our own forms would say `Origin: null`.
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
    }
}

#[tokio::test]
async fn files_are_found_under_a_name_that_their_content_gives_them() {
    let app = TestApp::with(&[("BASE_PATH", "/c")], |_| {}).await;
    let page = app.send("GET", "/c/sign-in", &[BROWSER], "").await.text;
    let mut found = 0;
    for part in page.split('"').filter(|part| part.starts_with("/c/assets/")) {
        let reply = app.send("GET", part, &[], "").await;
        assert_eq!(reply.status, StatusCode::OK, "{part}");
        assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
        assert!(!reply.text.is_empty());
        found += 1;
    }
    assert_eq!(found, 3, "{page}");
    assert_eq!(app.send("GET", "/c/assets/style-0000000000000000.css", &[], "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn below_a_prefix_every_link_and_form_stays_below_it() {
    let app = TestApp::with(&[("BASE_PATH", "/c")], |script| {
        script.deletion = Some(deletion());
        script.folder = folder();
    })
    .await;
    let cookie = app.send("GET", "/c/sign-in?token=admin", &[BROWSER], "").await;
    let cookie = cookie.header("set-cookie").split(';').next().unwrap().to_owned();
    for path in ["/c", "/c/"] {
        let reply = app.send("GET", path, &[BROWSER, ("cookie", &cookie)], "").await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert!(reply.text.contains("<a href=\"/c/\" aria-current=\"page\">"), "{path}: {}", reply.text);
    }
    for path in [
        "/",
        "/projects",
        "/new",
        "/projects/alpha",
        "/projects/alpha/config",
        "/projects/alpha/delete",
        "/projects/alpha/logs",
        "/projects/alpha/chat",
        "/chat",
        "/plan",
        "/settings",
        "/nothing",
    ] {
        let page = app.send("GET", &format!("/c{path}"), &[BROWSER, ("cookie", &cookie)], "").await.text;
        check(path, &page);
        for attribute in ["href=\"", "src=\"", "action=\"", "data-refresh=\"", "data-follow=\""] {
            for target in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(target.starts_with("/c/") || target.starts_with('#'), "{path}: {attribute}{target}");
            }
        }
    }
}

#[tokio::test]
async fn whatever_names_say_stays_text() {
    let hostile = "<script>alert(1)</script>\"'>&\u{202e}gnp.exe";
    let app = app().await;
    set_alpha(&app, |alpha| {
        let spec = alpha.spec.as_mut().unwrap();
        spec.name = hostile.to_owned();
        spec.git_repository = hostile.to_owned();
        spec.image = hostile.to_owned();
        spec.git_branch = Some(hostile.to_owned());
        spec.jira_issue = Some(hostile.to_owned());
        spec.created_at = Some(hostile.to_owned());
        spec.storage.storage_class = Some(hostile.to_owned());
        alpha.status.message = hostile.to_owned();
        alpha.updated_at = Some(hostile.to_owned());
        let action = Action { reason: hostile.to_owned(), ..delete("Service", hostile) };
        alpha.plan = Arc::new(UnitPlan { unit: Unit::Project(name("alpha")), actions: vec![action], held: Vec::new() });
    });
    let ana = Browser::new(&app, "admin").await;
    for path in [
        "/projects",
        "/",
        "/projects/alpha",
        "/projects/alpha/config",
        "/projects/alpha/commits/2222222222222222222222222222222222222222",
        "/projects/alpha/delete",
        "/projects/alpha/logs",
        "/projects/alpha/chat",
        "/plan",
        "/fragments/projects/alpha",
        "/projects?q=%3Cscript%3E%22",
        "/projects?%3Cscript%3E=1",
        "/projects/%3Cscript%3E",
        "/sign-in?next=%22%3E%3Cscript%3E&hint=%3Cscript%3E",
    ] {
        let page = ana.get(path).await.text;
        assert!(!page.contains("<script>") && !page.contains("'>&\u{202e}"), "{path}: {page}");
    }
    let page = ana.get("/projects/alpha").await.text;
    assert!(page.contains("<bdi>&lt;script&gt;alert(1)"), "and what turns the direction ends with the name: {page}");
}

#[tokio::test]
async fn errors_are_pages_for_people_and_problems_for_programs() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/gamma").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::NOT_FOUND, "text/html; charset=utf-8"));
    assert!(
        page.text.contains("There is no project &quot;gamma&quot;.") && page.text.contains(page.header("x-request-id"))
    );
    assert_eq!(ana.get("/api/projects/gamma").await.problem(), "not-found");
    let reply = app.send("POST", "/projects/alpha/stop", &[BROWSER, ("cookie", &ana.cookie)], "").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    check("a foreign page", &reply.text);
    let json = [BROWSER, HERE, ("cookie", ana.cookie.as_str()), ("content-type", "application/json")];
    assert_eq!(app.send("POST", "/projects", &json, "{}").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_log_page_shows_the_log_or_why_there_is_none() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/alpha/logs?container=ide&lines=5").await.text;
    assert!(page.contains(">one\ntwo\n</pre>"), "{page}");
    assert!(
        page.contains("data-follow=\"/api/projects/alpha/logs?follow=true&amp;lines=5&amp;container=ide\""),
        "{page}"
    );
    let app = TestApp::with(&[], |script| script.log = || Err(LogError::NoPod)).await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/beta/logs").await;
    assert!(page.status == StatusCode::OK && page.text.contains("beta is stopped"), "{}", page.text);
    assert_eq!(ana.get("/projects/gamma/logs").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_wrong_with_everything_is_told_on_every_page() {
    let app = app().await;
    *app.script.snapshot.lock().unwrap() =
        Arc::new(Snapshot { cluster: Some("connection refused".to_owned()), ..snapshot() });
    let ana = Browser::new(&app, "admin").await;
    for path in ["/projects", "/new", "/projects/alpha"] {
        assert!(ana.get(path).await.text.contains("The cluster does not answer"), "{path}");
    }
}

#[tokio::test]
async fn the_base_is_renewed_by_an_administrator_from_a_page_that_shows_what_it_does() {
    let app = TestApp::new().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/upgrade").await;
    assert!(page.text.contains("base/statefulset.yaml") && page.text.contains("it was edited here"), "{}", page.text);
    let done = ana.post("/upgrade", &[]).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/upgrade"));
    let olga = Browser::new(&app, "operator").await;
    assert_eq!(olga.get("/upgrade").await.status, StatusCode::FORBIDDEN);
    assert_eq!(olga.post("/upgrade", &[]).await.status, StatusCode::FORBIDDEN);
    assert!(!olga.get("/projects").await.text.contains("/upgrade"), "what nobody may do is not offered");
}

#[tokio::test]
async fn a_project_is_suspended_with_a_reason_and_resumed() {
    let app = TestApp::new().await;
    let ana = Browser::new(&app, "admin").await;
    assert_eq!(ana.post("/projects/alpha/suspend", &[("why", " ")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.submitted(), 0);
    let done = ana.post("/projects/alpha/suspend", &[("why", "Ana looks into it")]).await;
    assert!(ana.follow(&done).await.text.contains("is left alone from now on"));
    ana.post("/projects/alpha/resume", &[]).await;
    let changes: Vec<_> = (app.script.submitted.lock().unwrap().iter())
        .map(|(intent, ..)| match intent {
            Intent::Change(_, change) => change.suspended.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(changes, [Some(Some("Ana looks into it".to_owned())), Some(None)]);
    let vera = Browser::new(&app, "viewer").await;
    assert_eq!(vera.post("/projects/alpha/resume", &[]).await.status, StatusCode::FORBIDDEN);
}
