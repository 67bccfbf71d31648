//! What came of the last commits is remembered, told as events when it is news, and counted.

use serde_json::json;

use super::drift::Fleet;
use crate::control_plane::{MISSING_IMAGE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_leaves_a_line_and_only_news_becomes_an_event() {
    let Some(mut fleet) = Fleet::start("history").await else { return };
    fleet.manager.expect("PUT", "/api/projects/shop", Some(json!({"image": MISSING_IMAGE})), 200).await;
    let failed = fleet.manager.project_until("shop", |shop| shop["reason"] == "ImagePullFailed").await;
    fleet.manager.expect("PUT", "/api/projects/shop", Some(json!({"image": "claude-dev-env:2"})), 200).await;
    let running = fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;

    // It is written behind what it tells of, so the last line of it comes a moment later.
    let mut history = json!(null);
    for _ in 0..100 {
        history = fleet.manager.expect("GET", "/api/projects/shop/history", None, 200).await;
        if history["items"][0]["healthyMs"].is_number() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let items = history["items"].as_array().expect("items");
    assert_eq!(items.len(), 3, "{history:#}");
    let [mended, broken, made] = [&items[0], &items[1], &items[2]];
    assert_eq!((&mended["revision"], &broken["revision"]), (&running["revision"], &failed["revision"]));
    assert!(items.iter().all(|item| item["author"] == "Administrator"), "{history:#}");
    assert!(made["summary"].as_str().is_some_and(|text| text.ends_with("created")), "{made:#}");
    assert_eq!((&broken["summary"], &broken["outcome"]), (&json!("1 changed"), &json!("applied")));
    assert!(broken["healthyMs"].is_null() && broken["appliedMs"].is_number(), "it never became healthy: {broken:#}");
    assert!(mended["healthyMs"].is_number(), "{mended:#}");
    assert_ne!(mended["digest"], broken["digest"]);

    let events = || {
        let all = fleet.cluster.objects(&fleet.namespace, "event");
        let own = all.into_iter().filter(|event| event["source"]["component"] == "claude-manager");
        own.map(|event| (event["type"].to_string(), event["reason"].to_string())).collect::<Vec<_>>()
    };
    let told = eventually("both events", || Some(events()).filter(|told| told.len() >= 2));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().any(|(kind, reason)| kind.contains("Warning") && reason.contains("ImagePullFailed")),
        "{told:?}"
    );
    assert!(told.iter().any(|(kind, reason)| kind.contains("Normal") && reason.contains("Ready")), "{told:?}");

    let metrics = fleet.manager.expect("GET", "/api/monitoring/metrics", None, 200).await;
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains("reconcile_duration_seconds_count{stage=\"applied\"} 3"), "{metrics}");
    assert!(metrics.contains("reconcile_duration_seconds_count{stage=\"healthy\"} 2"), "{metrics}");

    assert!(metrics.contains("kubernetes_requests_total{code=\"2xx\",verb=\"watch\"}"), "{metrics}");
    assert!(metrics.contains("kubernetes_requests_total{code=\"2xx\",verb=\"patch\"}"), "{metrics}");

    // A restart with nothing to do adds nothing.
    fleet.manager.kill();
    fleet.manager.run();
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    let again = fleet.manager.expect("GET", "/api/projects/shop/history", None, 200).await;
    assert_eq!(again, history);
}
