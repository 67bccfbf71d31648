//! The frame around every page, and the pages that show the whole: dashboard and settings.

use super::*;

/// The navigation of a page: its links, and the current one.
fn navigation(page: &str) -> (Vec<String>, Vec<String>) {
    let nav = page.split("<nav class=\"sidebar\"").nth(1).unwrap_or_default().split("</nav>").next().unwrap();
    let links = nav.split("<a href=\"").skip(1).map(|rest| rest.split('>').next().unwrap());
    let (mut all, mut current) = (Vec::new(), Vec::new());
    for link in links {
        let address = link.split('"').next().unwrap().to_owned();
        if link.contains("aria-current=\"page\"") {
            current.push(address.clone());
        }
        all.push(address);
    }
    (all, current)
}

const PAGES: [(&str, &str); 14] = [
    ("/", "/"),
    ("/projects", "/projects"),
    ("/new", "/projects"),
    ("/projects/alpha", "/projects"),
    ("/projects/alpha/config", "/projects"),
    ("/projects/alpha/commits/2222222222222222222222222222222222222222", "/projects"),
    ("/projects/alpha/delete", "/projects"),
    ("/projects/alpha/logs", "/projects"),
    ("/projects/alpha/chat", "/projects"),
    ("/projects/gamma", "/projects"),
    ("/chat", "/chat"),
    ("/plan", "/plan"),
    ("/settings", "/settings"),
    ("/upgrade", "/upgrade"),
];

#[tokio::test]
async fn the_navigation_is_the_same_on_every_page_and_on_problems_too() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let (all, _) = navigation(&ana.get("/").await.text);
    assert_eq!(all, ["/", "/projects", "/chat", "/plan", "/tickets", "/backups", "/logs", "/upgrade", "/settings"]);
    for (path, place) in PAGES {
        let page = ana.get(path).await.text;
        let (links, current) = navigation(&page);
        assert_eq!((links, current), (all.clone(), vec![place.to_owned()]), "{path}");
        assert!(page.contains("id=\"conn\"") && page.contains("data-probe=\"/livez\""), "{path}");
        assert!(page.len() < 100_000, "{path} has {} bytes", page.len());
    }
    for path in ["/nothing", "/projects?phase=Up"] {
        let page = ana.get(path).await;
        assert!(page.status.is_client_error());
        assert_eq!(navigation(&page.text).0, all, "{path}");
    }
    let olga = Browser::new(&app, "operator").await;
    assert!(!navigation(&olga.get("/").await.text).0.contains(&"/upgrade".to_owned()));
    let refused = olga.get("/upgrade").await;
    assert_eq!((refused.status, navigation(&refused.text).0.len()), (StatusCode::FORBIDDEN, all.len() - 1));
    assert!(navigation(&app.send("GET", "/sign-in", &[BROWSER], "").await.text).0.is_empty(), "strangers see no place");
}

#[tokio::test]
async fn chat_is_the_primary_action_of_a_project_and_stop_is_not() {
    let app = app().await;
    let page = Browser::new(&app, "operator").await.get("/projects/alpha").await.text;
    let primary: Vec<&str> = page.split("class=\"button primary\"").skip(1).collect();
    assert!(primary.len() == 1 && primary[0].starts_with(" href=\"/projects/alpha/chat\""), "{page}");
    assert!(page.contains("<button id=\"stop\" type=\"submit\">"), "{page}");
    let commit = format!("href=\"/projects/alpha/commits/{COMMIT}\"");
    assert!(page.contains(&commit), "commits are links: {page}");
}

#[tokio::test]
async fn a_commit_shows_what_it_changed_in_the_overlay() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get(&format!("/projects/alpha/commits/{COMMIT}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("alpha: stop") && page.text.contains("The overlay itself is as it was"),
        "{}",
        page.text
    );
    for other in ["3".repeat(40), "HEAD".to_owned(), "2222".to_owned()] {
        let reply = ana.get(&format!("/projects/alpha/commits/{other}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{other}");
    }
}

#[tokio::test]
async fn the_dashboard_names_what_needs_a_person() {
    let app = app().await;
    let vera = Browser::new(&app, "viewer").await;
    let calm = vera.get("/").await.text;
    assert!(calm.contains("Nothing needs you") && calm.contains("2 projects"), "{calm}");
    assert!(!calm.contains("href=\"/new\""), "{calm}");
    set_alpha(&app, |alpha| {
        alpha.status.phase = Phase::Failed;
        alpha.status.message = "the image <b> cannot be pulled".to_owned();
    });
    let page = vera.get("/").await.text;
    assert!(page.contains("1 thing needs you") && page.contains("The image &lt;b&gt; cannot be pulled."), "{page}");
    assert!(page.contains("/projects?phase=Failed"), "{page}");
    *app.script.snapshot.lock().unwrap() =
        Arc::new(Snapshot { cluster: Some("connection refused".to_owned()), ..snapshot() });
    let page = vera.get("/").await.text;
    assert!(page.contains("kubernetes</strong> is degraded"), "{page}");
}

#[tokio::test]
async fn settings_show_values_and_their_sources_but_no_secret() {
    let vars = [
        ("PORT", "3000"),
        ("ADMIN_TOKEN", "hunter2-hunter2-hunter2-hunter2-hunter2"),
        ("PUBLIC_URL", "http://localhost:3000"),
        ("DATABASE_URL", "postgres://u:hunter2@db/x"),
    ];
    let app = TestApp::with(&vars, |_| {}).await;
    let page = Browser::new(&app, "viewer").await.get("/settings").await.text;
    for setting in crate::config::SETTINGS {
        assert!(page.contains(&format!("<code>{}</code>", setting.name)), "{}", setting.name);
    }
    assert!(page.contains("<code>http://localhost:3000</code>") && page.contains("environment"), "{page}");
    assert!(!page.contains("hunter2"), "{page}");
}

#[tokio::test]
async fn credentials_are_given_by_a_form_that_shows_none() {
    let app = app().await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/projects/alpha/config").await.text;
    for way in
        ["anthropic-api-key", "claude-code-oauth-token", "anthropic-base-url", "anthropic-auth-token", "setup-token"]
    {
        assert!(page.contains(way), "{way}: {page}");
    }
    assert_eq!(
        ana.post("/projects/alpha/credentials", &[("anthropicApiKey", " ")]).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(app.submitted(), 0);
    let done =
        ana.post("/projects/alpha/credentials", &[("claudeCodeOauthToken", "hunter2"), ("anthropicApiKey", "")]).await;
    assert_eq!(done.header("location"), "/projects/alpha", "{}", done.text);
    {
        let submitted = app.script.submitted.lock().unwrap();
        let Intent::Change(_, change) = &submitted[0].0 else { panic!("no change") };
        assert_eq!(change.secrets.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["claude-code-oauth-token"]);
    }
    let vera = Browser::new(&app, "viewer").await;
    assert_eq!(
        vera.post("/projects/alpha/credentials", &[("anthropicApiKey", "x")]).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn pages_of_a_thousand_projects_stay_small() {
    let app = TestApp::new().await;
    let mut new = snapshot();
    for number in 0..1000 {
        let one = name(&format!("project-number-{number}"));
        let mut project =
            state(spec(one.as_str(), "Project", "2026-11-01T00:00:00Z"), Phase::Failed, Reason::CrashLoop);
        project.status.message =
            "container ide of pod a ends again and again, the last time with exit code 1".repeat(2);
        if number % 2 == 0 {
            project.status.reason = Reason::DeletionHeld;
            project.overlay_id = None;
        }
        let actions = vec![delete("StatefulSet", &format!("{one}-env")), delete("Service", &format!("{one}-env"))];
        project.plan = Arc::new(UnitPlan { unit: Unit::Project(one.clone()), actions, held: Vec::new() });
        new.projects.insert(one, Arc::new(project));
    }
    *app.script.snapshot.lock().unwrap() = Arc::new(new);
    let ana = Browser::new(&app, "admin").await;
    for path in ["/", "/projects", "/projects?limit=100", "/chat", "/plan", "/settings"] {
        let page = ana.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.len() < 100_000, "{path} has {} bytes", page.text.len());
    }
    assert!(ana.get("/plan").await.text.contains("Delete 500 projects"));
}
