//! Whole pages as they are, so that a change of one is seen. Ids of requests and hashes of files are left out.

use super::*;
use crate::plan::Content;

/// One element on each line, which differences are easier to read in.
fn lines(page: &str) -> String {
    let hashes =
        regex::Regex::new(r"(style|script|icon)-[0-9a-f]{16}|\b[0-9a-f]{32}\b|&quot;[0-9a-f]{24}&quot;").unwrap();
    let times = regex::Regex::new(r"(<time [^>]*>)[^<]*").unwrap();
    let page = hashes.replace_all(page, "$1-HASH");
    times.replace_all(&page, "$1TIME").replace("><", ">\n<")
}

fn troubled(app: &TestApp) {
    set_alpha(app, |alpha| {
        alpha.status.phase = Phase::Failed;
        alpha.status.reason = Reason::ApplyFailed;
        alpha.status.message = "Service alpha-env: spec.ports: required".to_owned();
        let update = Action {
            operation: Operation::Update { object: Content::new(json!({})), take_over: false },
            reason: "drift: spec.ports".to_owned(),
            ..delete("Service", "alpha-env")
        };
        alpha.plan = Arc::new(UnitPlan { unit: Unit::Project(name("alpha")), actions: vec![update], held: Vec::new() });
    });
}

#[tokio::test]
async fn pages_look_as_they_did() {
    let app = app().await;
    troubled(&app);
    let ana = Browser::new(&app, "admin").await;
    for (name, path) in [
        ("projects", "/projects?phase=failed"),
        ("project", "/projects/alpha"),
        ("delete", "/projects/alpha/delete"),
        ("new", "/new"),
        ("log", "/projects/alpha/logs"),
        ("upgrade", "/upgrade"),
        ("missing", "/projects/gamma"),
    ] {
        insta::assert_snapshot!(name, lines(&ana.get(path).await.text));
    }
    let page = app.send("GET", "/sign-in", &[BROWSER], "").await.text;
    check("/sign-in", &page);
    insta::assert_snapshot!("sign-in", lines(&page));
    let fields = [("name", "Shop"), ("shortName", "Shop"), ("gitRepository", "")];
    insta::assert_snapshot!("new-with-errors", lines(&ana.post("/projects", &fields).await.text));
    *app.script.snapshot.lock().unwrap() = Arc::new(Snapshot { projects: BTreeMap::new(), ..snapshot() });
    insta::assert_snapshot!("no-project", lines(&ana.get("/projects").await.text));
}
