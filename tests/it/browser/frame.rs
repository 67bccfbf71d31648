//! The frame of the pages in a real browser: navigation, widths, colours, and pages that outlive their session or manager.

use serde_json::json;

use super::Browser;
use crate::manager::{Manager, git_ok};

/// A manager on a port that it keeps, with the project `hello`, whose repository is a directory.
async fn manager() -> (Manager, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let work = directory.path().join("work");
    std::fs::create_dir(&work).expect("made");
    git_ok(&work, &["init", "-q", "-b", "main"]);
    std::fs::write(work.join("README.md"), "Hello.\n").expect("written");
    git_ok(&work, &["add", "."]);
    git_ok(&work, &["commit", "-q", "-m", "Begin"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    // It tells its version, and is never asked for more.
    let claude = directory.path().join("claude");
    std::fs::write(&claude, "#!/bin/sh\necho '2.1.332 (Claude Code)'\n").expect("written");
    std::fs::set_permissions(&claude, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let manager = Manager::start(&[("PORT", &port), ("CLAUDE_BIN", claude.to_str().unwrap())]);
    let project = json!({"name": "hello.gi/t", "shortName": "hello", "gitRepository": work});
    manager.expect("POST", "/api/projects", Some(project), 201).await;
    manager.project_until("hello", |project| project["phase"] == "Running").await;
    (manager, directory)
}

async fn sign_in(browser: &Browser, manager: &Manager) {
    browser.goto(manager, &format!("/sign-in?token={}", manager.token())).await;
    browser.arrives("/projects").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_the_navigation_and_fits_a_narrow_window() {
    let Some(browser) = Browser::start(true).await else { return };
    let (manager, _kept) = manager().await;
    sign_in(&browser, &manager).await;
    let places =
        browser.evaluate("[...document.querySelectorAll('.sidebar li a')].map(a => a.getAttribute('href'))").await;
    let places: Vec<String> = serde_json::from_value(places).expect("addresses");
    assert!(places.len() >= 7, "{places:?}");
    let mut pages = places.clone();
    pages.extend(["/new", "/projects/hello", "/projects/hello/chat", "/projects/hello/logs"].map(str::to_owned));
    pages.extend(["/projects/hello/config", "/projects/hello/delete", "/projects/nothing"].map(str::to_owned));
    for (width, height) in [(390, 844), (1280, 900)] {
        browser.client.set_window_size(width, height).await.expect("a size");
        for path in &pages {
            browser.goto(&manager, path).await;
            let here = browser
                .evaluate("[...document.querySelectorAll('.sidebar li a')].map(a => a.getAttribute('href'))")
                .await;
            assert_eq!(here, json!(places), "{path}");
            let is_problem = browser.text("main").await.contains("Status 4");
            assert_eq!(is_problem, path == "/projects/nothing", "{path}: {}", browser.text("main").await);
            let over =
                browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
            assert_eq!(over, json!(0), "{path} is wider than {width}");
            let size = browser.evaluate("document.documentElement.outerHTML.length").await;
            assert!(size.as_u64().expect("a size") < 100_000, "{path}: {size}");
            browser.until("#conn", "Connected", false).await;
        }
        // The sidebar is beside the page, or behind a button.
        let shown = browser.evaluate("document.getElementById('nav').checkVisibility()").await;
        assert_eq!(shown, json!(width > 768), "{width}");
        if width < 768 {
            browser.click(".open-nav").await;
            assert_eq!(browser.evaluate("document.getElementById('nav').checkVisibility()").await, json!(true));
            browser.click(".sidebar a[href='/backups']").await;
            browser.arrives("/backups").await;
        }
    }
    // A name is shown whole and in its own case, and no id is capitalised.
    browser.goto(&manager, "/projects").await;
    assert_eq!(browser.text("tbody th a").await, "hello.gi/t");
    let one_line = "document.querySelector('tbody th a').getClientRects().length";
    assert_eq!(browser.evaluate(one_line).await, json!(1), "in one line");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_tells_what_failed_and_what_runs() {
    let Some(browser) = Browser::start(false).await else { return };
    let (manager, _kept) = manager().await;
    sign_in(&browser, &manager).await;
    browser.click(".sidebar a[href='/']").await;
    browser.until("h1", "Nothing needs you", false).await;
    assert!(browser.text(".legend").await.contains("Running"));
    let broken = json!({"name": "Broken", "shortName": "broken", "gitRepository": "http://127.0.0.1:1/x.git"});
    manager.expect("POST", "/api/projects", Some(broken), 201).await;
    browser.until("h1", "1 thing needs you", true).await;
    assert!(browser.text(".inbox").await.contains("cannot be cloned"), "{}", browser.text(".inbox").await);
    browser.click(".inbox p a").await;
    browser.arrives("/projects/broken").await;
    browser.until("#missing", "claude setup-token", true).await;
    let ways = browser.text("#missing").await;
    for way in ["anthropic-api-key", "claude-code-oauth-token", "anthropic-base-url", "anthropic-auth-token"] {
        assert!(ways.contains(way), "{way}: {ways}");
    }
    browser.close().await;
}

/// A form that is sent after its session has ended; with scripts and without.
async fn ended_session(scripts: bool) {
    let Some(browser) = Browser::start(scripts).await else { return };
    let (manager, kept) = manager().await;
    sign_in(&browser, &manager).await;
    browser.goto(&manager, "/new").await;
    browser.fill("#name", "Second \"shop\"").await;
    browser.fill("#shortName", if scripts { "" } else { "second-shop" }).await;
    browser.fill("#gitRepository", kept.path().join("work").to_str().unwrap()).await;
    let cookies = browser.client.get_all_cookies().await.expect("cookies");
    let session = cookies.iter().find(|cookie| cookie.name().starts_with("claude-manager-")).expect("a session");
    let ended = crate::http::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ended = ended.post(manager.url("/sign-out")).header("sec-fetch-site", "same-origin");
    ended.header("cookie", format!("{}={}", session.name(), session.value())).send().await.expect("an answer");

    browser.click("main button[type=submit]").await;
    browser.until("main", "Your session has ended", false).await;
    browser.fill("#token", &manager.token()).await;
    browser.click("main button[type=submit]").await;
    browser.until("h1", "New project", false).await;
    assert_eq!(browser.value("#name").await, "Second \"shop\"");
    assert_eq!(browser.value("#shortName").await, "second-shop");
    browser.click("main button[type=submit]").await;
    browser.arrives("/projects/second-shop").await;
    browser.until(".notice.good", "second-shop is made: commit", false).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_survives_the_end_of_its_session() {
    ended_session(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_survives_the_end_of_its_session_without_scripts() {
    ended_session(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_says_that_the_manager_does_not_answer_or_the_session_has_ended() {
    let Some(browser) = Browser::start(true).await else { return };
    let (mut manager, _kept) = manager().await;
    sign_in(&browser, &manager).await;
    browser.goto(&manager, "/projects/hello").await;
    browser.until("#conn", "Connected", false).await;
    manager.kill();
    browser.until("#conn", "The manager does not answer", false).await;
    manager.run();
    browser.until("#conn", "Connected", false).await;
    browser.client.delete_all_cookies().await.expect("no cookies");
    browser.until("#conn", "Your session has ended", false).await;
    assert!(browser.text("h1").await.contains("hello.gi/t"), "and the page is still there");
    browser.click("#conn a").await;
    browser.arrives("/sign-in?next=%2Fprojects%2Fhello").await;
    browser.close().await;
}
