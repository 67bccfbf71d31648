//! Who may use which address: every address, with every role and with none.

use super::*;
use crate::web::access::Access;
use crate::web::router::rules;

/// The path of a template, with ids of things that may be there.
fn path_of(template: &str) -> String {
    template
        .replace("{id}", "alpha")
        .replace("{conversation}", "00000000-0000-4000-8000-00000000000c")
        .replace("{prompt}", "00000000-0000-4000-8000-000000000001")
        .replace("{request}", "r1")
        .replace("{file}", "style.css")
}

/// The table, one line for each address and method.
fn table() -> String {
    let line = |(path, method, access): (&str, &axum::http::Method, Access)| {
        let who = match access {
            Access::Open => "everybody".to_owned(),
            Access::OpenIf(_, role) => format!("{role}, or everybody where the settings say so"),
            Access::Needs(role) => role.to_string(),
        };
        format!("{path} {method}: {who}\n")
    };
    rules().all().map(line).collect()
}

#[test]
fn the_roles_are_this_table() {
    insta::assert_snapshot!(table());
}

#[tokio::test]
async fn every_address_answers_the_roles_that_it_names_and_no_others() {
    for base in ["", "/c"] {
        let app = TestApp::with(&[("BASE_PATH", base), ("HEALTH_OPEN", "false")], |_| {}).await;
        let settings = Settings::from_vars(&BTreeMap::from([("HEALTH_OPEN".to_owned(), "false".to_owned())])).unwrap();
        let mut requests = 0;
        for (template, method, access) in rules().all() {
            let path = format!("{base}{}", path_of(template));
            for role in [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Administrator)] {
                let token = role.map(|role| format!("Bearer {}", app.token(role, 60)));
                let mut headers = vec![("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
                headers.extend(token.as_deref().map(|token| ("authorization", token)));
                let reply = app.send(method.as_str(), &path, &headers, "{}").await;
                let what = format!("{method} {path} as {role:?}: {} {}", reply.status, reply.text);
                requests += 1;
                match (role, access.role()) {
                    (None, _) if access.is_open(&settings) => {
                        assert_ne!(reply.status, StatusCode::FORBIDDEN, "{what}");
                        // The form of the sign-in says so itself.
                        assert!(reply.status != StatusCode::UNAUTHORIZED || template == "/sign-in", "{what}");
                    }
                    (None, _) => assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}"),
                    (Some(role), Some(needed)) if role < needed => {
                        assert_eq!(
                            (reply.status, reply.problem().as_str()),
                            (StatusCode::FORBIDDEN, "forbidden"),
                            "{what}"
                        );
                        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                        assert!(detail.contains(&format!("needs the role {needed}")), "{detail}");
                    }
                    (Some(_), _) => {
                        // Pushing is refused to all, with the way out.
                        let is_push = reply.text.contains("pushing over HTTP follows");
                        let is_dumb = reply.text.contains("smart protocol only");
                        assert!(reply.status != StatusCode::FORBIDDEN || is_push || is_dumb, "{what}");
                        assert_ne!(reply.status, StatusCode::NOT_IMPLEMENTED, "{what}");
                        assert!(reply.status != StatusCode::UNAUTHORIZED || template == "/sign-in", "{what}");
                    }
                }
            }
        }
        assert!(requests > 200, "the walk found too little to mean anything");
    }
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_need_a_caller() {
    let app = TestApp::new().await;
    for (method, path, status) in [
        ("GET", "/api/nothing", 404),
        ("PATCH", "/api/projects", 405),
        ("DELETE", "/livez", 405),
        ("GET", "/api/projects/alpha/start", 405),
        ("GET", "/git/other.git/info/refs", 404),
    ] {
        assert_eq!(app.send(method, path, &[], "").await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let viewer = [("authorization", "Bearer viewer")];
        assert_eq!(app.send(method, path, &viewer, "").await.status.as_u16(), status, "{method} {path}");
    }
    let head = app.send("HEAD", "/api/backup/export", &[("authorization", "Bearer viewer")], "").await;
    assert_eq!(head.status, StatusCode::FORBIDDEN, "a HEAD is judged as the GET");
}

#[tokio::test]
async fn a_commit_carries_the_name_of_the_token() {
    let app = TestApp::new().await;
    let token = format!("Bearer {}", app.token(Role::Operator, 60));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let reply = app.send("POST", "/api/projects/alpha/stop", &headers, "").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let submitted = app.script.submitted.lock().unwrap();
    let principal = &submitted[0].1.principal;
    assert_eq!((principal.name.as_str(), principal.email.as_str()), ("Otto", "otto@example.org"));
}

#[tokio::test]
async fn a_token_of_an_operator_signs_in_and_the_pages_offer_what_it_may_do() {
    let app = TestApp::new().await;
    let browser = ("accept", "text/html");
    for (role, offered) in [(Role::Viewer, false), (Role::Operator, true)] {
        let reply = app.send("GET", &format!("/sign-in?token={}", app.token(role, 60)), &[browser], "").await;
        let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = app.send("GET", "/projects/alpha", &[browser, ("cookie", &cookie)], "").await;
        assert!(page.text.contains("Otto"), "{}", page.text);
        assert_eq!(page.text.contains("/projects/alpha/stop"), offered, "{role}");
        assert!(!page.text.contains("href=\"/upgrade\""), "{role}");
    }
    let expired = app
        .send("GET", "/api/projects", &[("authorization", &format!("Bearer {}", app.token(Role::Viewer, -1)))], "")
        .await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);
    assert!(expired.text.contains("has expired"), "{}", expired.text);
}
