//! What holds for every request: who may send it, from where, and how errors look.

use super::*;

#[tokio::test]
async fn every_route_needs_a_good_token_but_the_four_that_are_open() {
    let app = TestApp::new().await;
    for (method, path) in ROUTES {
        let open = matches!(path, "/livez" | "/readyz" | "/api/monitoring/health" | "/api/monitoring/metrics");
        for header in [None, Some("Bearer wrong"), Some("Basic admin"), Some("admin"), Some("Bearer ")] {
            let headers: Vec<(&str, &str)> = header.map(|value| ("authorization", value)).into_iter().collect();
            let reply = app.send(method, path, &headers, "").await;
            let what = format!("{method} {path} with {header:?}");
            if open {
                assert_eq!(reply.status, StatusCode::OK, "{what}");
            } else {
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
                assert!(reply.header("www-authenticate").starts_with("Bearer"), "{what}");
                assert_eq!(reply.problem(), "unauthenticated", "{what}");
            }
        }
        let body = if path == "/api/projects" { body() } else { json!({}) };
        let is_bound = method == "POST" && path.ends_with("/plan");
        let tag = if is_bound { app.get(path).await.header("etag").to_owned() } else { "*".to_owned() };
        let reply = app.json(method, path, &[("if-match", &tag)], &body).await;
        assert!(reply.status.is_success(), "{method} {path}: {} {}", reply.status, reply.text);
    }
}

#[tokio::test]
async fn roles_may_do_what_the_policy_says() {
    let app = TestApp::new().await;
    for (method, path, viewer, operator) in [
        ("GET", "/api/projects", 200, 200),
        ("GET", "/api/projects/alpha", 200, 200),
        ("GET", "/api/monitoring/status", 200, 200),
        ("POST", "/api/projects", 403, 201),
        ("PUT", "/api/projects/alpha", 403, 200),
        ("POST", "/api/projects/alpha/start", 403, 200),
        ("POST", "/api/projects/alpha/stop", 403, 200),
        ("POST", "/api/projects/alpha/refresh", 403, 200),
        ("DELETE", "/api/projects/alpha", 403, 202),
        ("DELETE", "/api/projects/alpha?volumes=delete", 403, 403),
    ] {
        let body = if path == "/api/projects" { body() } else { json!({}) }.to_string();
        for (token, expected) in [("Bearer viewer", viewer), ("Bearer operator", operator)] {
            let headers = [("authorization", token), ("content-type", "application/json")];
            let reply = app.send(method, path, &headers, &body).await;
            assert_eq!(reply.status.as_u16(), expected, "{token} {method} {path}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn settings_close_health_and_metrics() {
    let app = TestApp::with(&[("METRICS_OPEN", "false"), ("HEALTH_OPEN", "false")], |_| {}).await;
    for path in ["/api/monitoring/health", "/api/monitoring/metrics"] {
        assert_eq!(app.send("GET", path, &[], "").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(app.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(app.send("GET", "/livez", &[], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_and_tell_strangers_nothing() {
    let app = TestApp::new().await;
    assert_eq!(app.send("GET", "/api/nothing", &[], "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.send("PATCH", "/api/projects", &[], "").await.status, StatusCode::UNAUTHORIZED);

    let reply = app.get("/api/nothing").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "no-route"));
    let reply = app.json("PATCH", "/api/projects", &[], &json!({})).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method"));
    let allowed = reply.header("allow");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn request_ids_come_back_unless_they_could_break_a_line() {
    let app = TestApp::new().await;
    let id = |reply: &Reply| reply.header("x-request-id").to_owned();
    assert_eq!(id(&app.send("GET", "/livez", &[("x-request-id", "abc-1.2_3")], "").await), "abc-1.2_3");
    for bad in ["", "a b", "a\tb", "{}", &"x".repeat(65)] {
        let new = id(&app.send("GET", "/livez", &[("x-request-id", bad)], "").await);
        assert!(new.len() == 32 && new != bad, "{bad:?} became {new:?}");
    }
    app.json("POST", "/api/projects", &[("x-request-id", "mine")], &body()).await;
    assert_eq!(app.script.submitted.lock().unwrap()[0].1.request_id, "mine");
}

#[tokio::test]
async fn answers_carry_security_headers() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://claude.example.com")], |_| {}).await;
    for path in ["/livez", "/api/projects", "/nothing"] {
        let reply = app.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
        assert!(reply.header("content-security-policy").contains("default-src 'none'"));
    }
}

#[tokio::test]
async fn on_the_loopback_address_only_known_host_names_are_answered() {
    let app =
        TestApp::with(&[("PUBLIC_URL", "https://Claude.Example.com/x"), ("ALLOWED_HOSTS", "claude.test")], |_| {})
            .await;
    for (host, fine) in [
        ("localhost", true),
        ("localhost:3000", true),
        ("127.0.0.1:3000", true),
        ("127.9.9.9", true),
        ("[::1]:3000", true),
        ("claude.example.com", true),
        ("CLAUDE.test:1", true),
        ("evil.example.com", false),
        ("localhost.evil.example.com", false),
        ("127.0.0.1.evil.example.com", false),
        ("", false),
    ] {
        let reply = app.send("GET", "/livez", &[("host", host)], "").await;
        assert_eq!(reply.status == StatusCode::OK, fine, "{host}");
        if !fine {
            assert_eq!(reply.problem(), "host");
        }
    }
    let public = TestApp::with(&[("HOST", "0.0.0.0")], |_| {}).await;
    assert_eq!(public.send("GET", "/livez", &[("host", "any.example")], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_the_frontend_may_call_from_another_origin() {
    let app = TestApp::with(&[("FRONTEND_URL", "https://front.example")], |_| {}).await;
    let preflight = [("origin", "https://front.example"), ("access-control-request-method", "PUT")];
    let reply = app.send("OPTIONS", "/api/projects/alpha", &preflight, "").await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert_eq!(reply.header("access-control-allow-origin"), "https://front.example");
    assert!(reply.header("access-control-allow-methods").contains("PUT"));
    assert!(reply.header("access-control-allow-headers").contains("authorization"));

    let other = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let reply = app.send("OPTIONS", "/api/projects/alpha", &other, "").await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);

    let reply = app.send("GET", "/livez", &[("origin", "https://front.example")], "").await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://front.example");
    assert!(reply.header("access-control-expose-headers").contains("etag"));
    assert_eq!(reply.header("vary"), "Origin");
    let closed = TestApp::new().await;
    let reply = closed.send("GET", "/livez", &[("origin", "https://front.example")], "").await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_prefix_moves_everything_but_the_probes() {
    let app = TestApp::with(&[("BASE_PATH", "/claude")], |_| {}).await;
    for (path, status) in [
        ("/claude/api/projects", 200),
        ("/claude/livez", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/api/projects", 404),
        ("/claude/nothing", 404),
    ] {
        assert_eq!(app.get(path).await.status.as_u16(), status, "{path}");
    }
    assert_eq!(app.send("GET", "/claude/api/monitoring/health", &[], "").await.status, StatusCode::OK);
    assert_eq!(app.send("GET", "/claude/api/projects", &[], "").await.status, StatusCode::UNAUTHORIZED);
    let reply = app.json("POST", "/claude/api/projects", &[], &body()).await;
    assert_eq!(reply.header("location"), "/claude/api/projects/gamma");
    assert!(app.metrics.render().contains("route=\"/api/projects\""), "routes are counted without the prefix");
}

#[tokio::test]
async fn writes_need_json_and_a_body_of_bearable_size() {
    let app = TestApp::new().await;
    let text = body().to_string();
    for content_type in
        ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
    {
        let headers = [("authorization", "Bearer admin"), ("content-type", content_type)];
        let reply = app.send("POST", "/api/projects", &headers, &text).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let headers = [("authorization", "Bearer admin"), ("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(app.send("POST", "/api/projects", &headers, &text).await.status, StatusCode::CREATED);

    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    let reply = app.send("POST", "/api/projects", &headers, &large).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    let announced = [headers[0], headers[1], ("content-length", "99999999")];
    assert_eq!(app.send("POST", "/api/projects", &announced, "{}").await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(app.submitted(), 1);
}

#[tokio::test]
async fn a_panic_and_a_defect_become_answers_without_their_cause() {
    let app = TestApp::with(&[], |script| script.answer = |_| panic!("hunter2")).await;
    let reply = app.json("POST", "/api/projects", &[], &body()).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    assert!(!reply.text.contains("hunter2"));

    let defect =
        |_: &Intent| Err(ChangeError { kind: ErrorKind::Internal, message: "hunter2".to_owned(), fields: Vec::new() });
    let app = TestApp::with(&[], |script| script.answer = defect).await;
    let reply = app.json("POST", "/api/projects", &[], &body()).await;
    assert_eq!(reply.problem(), "internal");
    assert!(!reply.text.contains("hunter2"));
    assert!(app.metrics.render().contains("errors_total{type=\"internal\"} 1"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_write_goes_on() {
    let app = TestApp::with(&[], |script| script.pause = Duration::from_secs(60)).await;
    tokio::time::pause();
    let reply = app.json("POST", "/api/projects", &[], &body()).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::GATEWAY_TIMEOUT, "timeout"));
    assert_eq!(app.submitted(), 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(app.submitted(), 1);
}

#[tokio::test]
async fn health_is_503_only_for_what_the_manager_itself_cannot_do() {
    let app = TestApp::new().await;
    let health = |reply: &Reply| (reply.status.as_u16(), reply.json()["status"].as_str().unwrap().to_owned());
    let reply = app.get("/api/monitoring/health").await;
    assert_eq!(health(&reply), (200, "ok".to_owned()));
    assert_eq!(reply.json()["components"]["store"]["status"], "ok");

    let set = |change: fn(&mut Snapshot)| {
        let mut new = snapshot();
        change(&mut new);
        *app.script.snapshot.lock().unwrap() = Arc::new(new);
    };
    set(|snapshot| snapshot.cluster = Some("connection refused".to_owned()));
    let reply = app.get("/api/monitoring/health").await;
    assert_eq!(health(&reply), (200, "degraded".to_owned()));
    assert_eq!(reply.json()["components"]["kubernetes"]["message"], "connection refused");
    assert_eq!(app.get("/readyz").await.status, StatusCode::OK);
    let metrics = app.get("/api/monitoring/metrics").await.text;
    assert!(metrics.contains("system_health_status{component=\"kubernetes\"} 0"), "{metrics}");
    assert!(metrics.contains("projects_total{phase=\"Running\"} 1"), "{metrics}");

    set(|snapshot| snapshot.head = None);
    assert_eq!(health(&app.get("/api/monitoring/health").await), (503, "down".to_owned()));
    let reply = app.get("/readyz").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.text.contains("has not been read yet"), "{}", reply.text);
    assert_eq!(app.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn status_has_the_key_figures() {
    let app = TestApp::new().await;
    let body = app.get("/api/monitoring/status").await.json();
    assert_eq!(body["projects"]["total"], 2);
    assert_eq!(body["projects"]["phases"]["Running"], 1);
    assert_eq!(body["revision"], COMMIT);
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn no_client_can_make_new_series() {
    let app = TestApp::new().await;
    for path in ["/a", "/b", "/api/projects/one", "/api/projects/two"] {
        app.get(path).await;
    }
    let text = app.metrics.render();
    assert!(!text.contains("projects/one") && !text.contains("\"/a\""), "{text}");
    assert!(text.contains("route=\"/api/projects/{id}\",status_code=\"404\"} 2"), "{text}");
}
