//! Who listens beyond the loopback address lets nobody in without a token.

use serde_json::Value;

use crate::manager::Manager;

/// Addresses that need no token, by default.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/api/monitoring/health", "/api/monitoring/metrics"];

#[tokio::test(flavor = "multi_thread")]
async fn every_address_but_probes_and_figures_needs_a_token_and_settings_can_only_close_more() {
    let token = "a-token-of-the-secret-that-is-long-enough";
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("admin-token"), format!("{token}\n")).unwrap();
    let secrets = secrets.path().display().to_string();
    for (open, expected) in [("true", 200), ("false", 401)] {
        let manager = Manager::start(&[
            ("HOST", "0.0.0.0"),
            ("SECRETS_DIR", &secrets),
            ("METRICS_OPEN", open),
            ("HEALTH_OPEN", open),
            // What other programs know as a switch is none here.
            ("AUTH_DISABLED", "true"),
            ("DISABLE_AUTH", "true"),
            ("AUTH_ENABLED", "false"),
        ]);
        let http = crate::http::client();
        let status = |path: &'static str, token: Option<&'static str>| {
            let mut request = http.get(manager.url(path));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            async move { request.send().await.unwrap().status().as_u16() }
        };
        for path in ["/api/projects", "/api/plan", "/api/monitoring/status", "/api/no-such-thing"] {
            assert_eq!(status(path, None).await, 401, "{path}");
        }
        for path in OPEN {
            let expected = if path.starts_with("/api") { expected } else { 200 };
            assert_eq!(status(path, None).await, expected, "{path} with METRICS_OPEN and HEALTH_OPEN={open}");
        }
        // The token of the Secret, which the program prints, and no other was made.
        assert_eq!(status("/api/projects", Some(token)).await, 200);
        let shown = manager.command(&["token", "show"]).output().unwrap();
        assert_eq!(String::from_utf8(shown.stdout).unwrap(), format!("{token}\n"));
        assert!(!manager.data().join("admin-token").exists());
        assert!(!manager.log().contains(token));
        let refused = http.get(manager.url("/api/projects")).send().await.unwrap().json::<Value>().await.unwrap();
        assert!(refused["detail"].as_str().unwrap().contains("claude-manager token show"), "{refused}");
    }
}

#[test]
fn a_token_that_could_be_guessed_is_refused_and_one_that_was_made_is_shown() {
    let manager = Manager::embedded();
    let shown = manager.command(&["token", "show"]).output().unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap().trim(), manager.token());
    let mut command = manager.command(&["serve"]);
    let output = command.env("ADMIN_TOKEN", "changeme").env("DATA_DIR", manager.beside("other")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("ADMIN_TOKEN") && told.contains("32 characters"), "{told}");
    assert!(!told.contains("changeme"), "{told}");
}
