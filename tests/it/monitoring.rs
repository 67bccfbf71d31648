//! What the manager says about itself: its log files, and the figures of the dashboard.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::manager::Manager;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_in_files_and_is_read_by_service_and_level() {
    let manager = Manager::embedded();
    let body = json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "sk-ant-hidden-word"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;

    // Lines are written by a thread of their own, and by the reconciler after the answer.
    let deadline = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        let answer = manager.expect("GET", "/api/monitoring/logs?service=kubernetes&limit=5", None, 200).await;
        let lines = answer["items"].as_array().expect("lines").clone();
        if lines.iter().any(|line| line.to_string().contains("shop")) || Instant::now() > deadline {
            break lines;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(lines.len() <= 5 && lines.iter().any(|line| line.to_string().contains("shop")), "{lines:?}");
    assert!(lines.iter().all(|line| line["service"] == "kubernetes"), "{lines:?}");
    let times: Vec<&str> = lines.iter().map(|line| line["timestamp"].as_str().expect("a time")).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");

    let combined = manager.data().join("logs/combined.log");
    let text = fs::read_to_string(&combined).expect("the file");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert!(!text.contains("hidden-word"), "{text}");
    assert_eq!(fs::metadata(&combined).expect("it").permissions().mode() & 0o777, 0o600);
    for name in ["error.log", "project-operations.log", "webhooks.log"] {
        assert!(manager.data().join("logs").join(name).exists(), "{name}");
    }

    let operations = fs::read_to_string(manager.data().join("logs/project-operations.log")).expect("the file");
    assert!(operations.lines().any(|line| line.contains("shop: create") && line.contains("commit")), "{operations}");

    for (query, field, word) in [
        ("service=database", "service", "kubernetes"),
        ("level=bad", "level", "warn"),
        ("limit=0", "limit", "1000"),
        ("lines=5", "lines", "service"),
    ] {
        let problem = manager.expect("GET", &format!("/api/monitoring/logs?{query}"), None, 400).await;
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(problem["errors"][0]["message"].as_str().is_some_and(|text| text.contains(word)), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_directory_that_cannot_be_written_does_not_stop_the_manager() {
    let manager = Manager::start(&[("LOG_DIR", "/proc/no-logs-here")]);
    let answer = manager.expect("GET", "/api/monitoring/logs", None, 200).await;
    assert_eq!(answer["items"], json!([]));
    assert!(!manager.data().join("logs").exists(), "another directory was chosen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_has_the_fleet_and_what_needs_a_person() {
    let manager = Manager::embedded();
    let body = json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    let answer = manager.expect("GET", "/api/monitoring/dashboard", None, 200).await;
    assert_eq!(answer["projects"]["total"], 1, "{answer}");
    let phases = answer["projects"]["phases"].as_object().expect("phases");
    assert_eq!(phases.values().filter_map(Value::as_u64).sum::<u64>(), 1, "{answer}");
    assert_eq!(answer["needsYou"]["requests"], json!([]), "{answer}");
    assert_eq!(answer["needsYou"]["deadDeliveries"], 0, "{answer}");
    assert!(answer["health"]["components"]["store"].is_object(), "{answer}");
}
