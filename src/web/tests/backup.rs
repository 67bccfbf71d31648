//! Who may do what with backups; the rest is tested with real repositories in `tests/it/backup.rs`.

use super::*;

#[tokio::test]
async fn viewers_read_operators_back_up_and_administrators_restore_and_export() {
    let app = TestApp::new().await;
    let order = json!({"timestamp": "2023-12-01T10-30-00-000Z"}).to_string();
    // This process makes no backups: who may ask is told so.
    let table = [
        ("GET", "/api/backup/status", "", [503, 503, 503]),
        ("GET", "/api/backup/list", "", [503, 503, 503]),
        ("GET", "/api/backup/cluster-info", "", [503, 503, 503]),
        ("POST", "/api/backup/create", "", [403, 503, 503]),
        ("POST", "/api/backup/restore", order.as_str(), [403, 403, 503]),
        ("GET", "/api/backup/export", "", [403, 403, 503]),
        ("GET", "/backups", "", [503, 503, 503]),
        ("POST", "/backups", "", [403, 503, 503]),
        ("GET", "/backups/restore?timestamp=2023-12-01T10-30-00-000Z", "", [403, 403, 503]),
    ];
    for (method, path, body, expected) in table {
        for (token, status) in ["viewer", "operator", "admin"].into_iter().zip(expected) {
            let bearer = format!("Bearer {token}");
            let mut headers = vec![("authorization", bearer.as_str())];
            if !body.is_empty() {
                headers.push(("content-type", "application/json"));
            }
            let reply = app.send(method, path, &headers, body).await;
            assert_eq!(reply.status.as_u16(), status, "{token} {method} {path}: {}", reply.text);
        }
    }
    for path in ["/api/backup/status", "/api/backup/list", "/api/backup/export", "/api/backup/cluster-info"] {
        assert_eq!(app.send("GET", path, &[], "").await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn wrong_orders_are_refused_field_by_field() {
    let app = TestApp::new().await;
    let body = json!({"timestamp": 5, "project": "A", "force": true});
    let reply = app.json("POST", "/api/backup/restore", &[], &body).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "invalid"));
    let fields: Vec<Value> =
        reply.json()["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["force", "project", "timestamp"]);
    let order = json!({"timestamp": "2023-12-01T10-30-00-000Z"});
    let reply = app.json("POST", "/api/backup/restore", &[("if-match", "\"x\"")], &order).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.get("/api/backup/list?page=0").await.status, StatusCode::BAD_REQUEST);
}
