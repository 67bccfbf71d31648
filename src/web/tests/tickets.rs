//! JIRA's webhook, the deliveries and their page; what a delivery leads to is tested with the whole program.

use super::pages::{BROWSER, Browser, check};
use super::*;

const SECRET: &str = "hush";

fn signature(body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let mac = ring::hmac::sign(&key, body.as_bytes());
    format!("sha256={}", mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

async fn app() -> TestApp {
    TestApp::with(&[("WEBHOOK_SECRET", SECRET), ("PUBLIC_URL", "https://claude.example.com")], |_| {}).await
}

async fn deliver(app: &TestApp, body: &str, more: &[(&str, &str)]) -> Reply {
    let signature = signature(body);
    let mut headers = vec![("x-hub-signature", signature.as_str()), ("content-type", "application/json")];
    headers.extend_from_slice(more);
    app.send("POST", "/api/webhooks/jira", &headers, body).await
}

fn created(number: u32) -> String {
    json!({"timestamp": 1_796_046_667_000_i64 + i64::from(number), "webhookEvent": "jira:issue_created",
        "user": {"accountId": "a", "displayName": "Ana <b>"},
        "issue": {"id": format!("{number}"), "key": format!("SHOP-{number}"), "fields": {"summary": "Fix"}}})
    .to_string()
}

#[tokio::test]
async fn only_a_signed_event_is_taken() {
    let app = app().await;
    let body = created(1);
    assert_eq!(deliver(&app, &body, &[]).await.status, StatusCode::ACCEPTED);
    let json = ("content-type", "application/json");
    let reply = app.send("POST", "/api/webhooks/jira", &[json], &body).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "signature"));
    // A token is no signature, and neither is the signature of another body, or by another hash.
    let good = signature(&body);
    for (signature, body) in [
        (good.clone(), format!("{body} ")),
        (good.replace("sha256", "sha1"), body.clone()),
        (String::new(), body.clone()),
        ("sha256=zz".to_owned(), body.clone()),
    ] {
        let headers = [("x-hub-signature", signature.as_str()), ("authorization", "Bearer admin"), json];
        let reply = app.send("POST", "/api/webhooks/jira", &headers, &body).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "signature"), "{signature}");
    }
    for (body, word) in [("", "Exclude body"), ("{}", "webhookEvent"), ("[1]", "object")] {
        let reply = deliver(&app, body, &[]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(reply.text.contains(word), "{}", reply.text);
    }
    let large = format!("{{\"webhookEvent\":\"x\",\"fill\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    assert_eq!(deliver(&app, &large, &[]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let list = app.get("/api/tickets/deliveries").await.json();
    assert_eq!(list["total"], 1, "{list:#}");
    let metrics = app.metrics.render();
    assert!(metrics.contains("webhook_requests_total{result=\"success\",webhook=\"jira\"} 1"), "{metrics}");
    assert!(metrics.contains("webhook_requests_total{result=\"failure\",webhook=\"jira\"} 9"), "{metrics}");
}

#[tokio::test]
async fn without_a_secret_it_says_why() {
    let app = TestApp::new().await;
    let reply = deliver(&app, &created(1), &[]).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.text.contains("webhook-secret"), "{}", reply.text);
}

#[tokio::test]
async fn a_webhook_that_comes_again_is_the_same_delivery() {
    let app = app().await;
    let identifier = ("x-atlassian-webhook-identifier", "abc");
    let first = deliver(&app, &created(1), &[identifier]).await.json();
    assert_eq!(deliver(&app, &created(1), &[identifier, ("x-atlassian-webhook-retry", "1")]).await.json(), first);
    assert_ne!(deliver(&app, &created(1), &[("x-atlassian-webhook-identifier", "abd")]).await.json(), first);
    let bare = deliver(&app, &created(2), &[]).await.json();
    assert_eq!(deliver(&app, &created(2), &[]).await.json(), bare);
    assert_eq!(app.get("/api/tickets/deliveries").await.json()["total"], 3);
}

#[tokio::test]
async fn deliveries_are_listed_in_pages_and_replayed_by_those_who_may() {
    let app = app().await;
    for number in 1..=5 {
        deliver(&app, &created(number), &[]).await;
    }
    let page = app.get("/api/tickets/deliveries?page=2&limit=2").await.json();
    assert_eq!((&page["total"], &page["pages"], &page["items"][0]["issue"]), (&json!(5), &json!(3), &json!("SHOP-3")));
    assert_eq!(page["items"][0]["state"], "waiting");
    assert_eq!(app.get("/api/tickets/deliveries?state=dead").await.json()["total"], 0);
    for wrong in ["state=x", "page=0", "limit=1000", "colour=red"] {
        assert_eq!(
            app.get(&format!("/api/tickets/deliveries?{wrong}")).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let id = page["items"][0]["id"].as_str().unwrap();
    let path = format!("/api/tickets/deliveries/{id}/replay");
    assert_eq!(app.json("POST", &path, &[], &json!({})).await.status, StatusCode::ACCEPTED);
    let viewer = [("authorization", "Bearer viewer"), ("content-type", "application/json")];
    assert_eq!(app.send("POST", &path, &viewer, "{}").await.status, StatusCode::FORBIDDEN);
    let missing = app.json("POST", "/api/tickets/deliveries/nothing/replay", &[], &json!({})).await;
    assert_eq!((missing.status, missing.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
}

#[tokio::test]
async fn the_page_has_the_steps_the_address_and_the_deliveries() {
    let app = app().await;
    deliver(&app, &created(7), &[]).await;
    let ana = Browser::new(&app, "admin").await;
    let page = ana.get("/tickets").await.text;
    check("/tickets", &page);
    assert!(page.contains("https://claude.example.com/api/webhooks/jira"), "{page}");
    assert!(page.contains("SHOP-7") && page.contains("Ana &lt;b&gt;") && page.contains("Replay"), "{page}");
    assert!(page.contains("JIRA_BASE_URL or jira-api-key is not set"), "{page}");
    let id = app.get("/api/tickets/deliveries").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let reply = ana.post(&format!("/tickets/{id}/replay"), &[]).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, format!("/tickets#d-{id}").as_str()));
    let vera = Browser::new(&app, "viewer").await;
    assert!(!vera.get("/tickets").await.text.contains("Replay SHOP-7"));
    assert_eq!(app.send("GET", "/tickets", &[BROWSER], "").await.status, StatusCode::SEE_OTHER);
}
