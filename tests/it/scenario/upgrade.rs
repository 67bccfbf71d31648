//! An older base is renewed by a commit of the command, and what a person has changed in it stays.

use super::{project, smuggle, update};
use crate::manager::{Manager, git_ok};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_base_is_renewed_around_a_persons_edits() {
    let mut manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    let clone = manager.clone_state("clone");
    let change = |file: &str, from: &str, to: &str| {
        let path = clone.join(file);
        let text = std::fs::read_to_string(&path).expect("the file");
        assert!(text.contains(from), "{file}");
        std::fs::write(&path, text.replace(from, to)).expect("written");
    };
    // As if an older program had written the base …
    change("base/statefulset.yaml", "revisionHistoryLimit: 3", "revisionHistoryLimit: 2");
    change("base/service.yaml", "port: 13337", "port: 13330");
    smuggle(&manager, &clone, "Upgrade the base to 0.0.1\n\nSource: upgrade");
    // … and then a person an own port.
    change("base/service.yaml", "port: 13330", "port: 8080");
    smuggle(&manager, &clone, "Our port");
    manager.kill();

    let output = manager.command(&["upgrade"]).output().expect("upgrade");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("~ base/statefulset.yaml"), "{shown}");
    assert!(shown.contains("= base/service.yaml is kept: it was edited here"), "{shown}");
    update(&clone);
    let file = |path: &str| std::fs::read_to_string(clone.join(path)).expect("the file");
    assert!(file("base/statefulset.yaml").contains("revisionHistoryLimit: 3"));
    assert!(file("base/service.yaml").contains("port: 8080"));
    assert!(git_ok(&clone, &["log", "-1", "--format=%B"]).contains("Source: upgrade"));

    let again = manager.command(&["upgrade"]).output().expect("upgrade");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("Nothing to do"), "{again:?}");
    manager.run();
    manager.project_until("shop", |shop| shop["appliedRevision"].is_string()).await;

    // An older base once more, and this time a person renews it from the page, in their own name.
    update(&clone);
    change("base/statefulset.yaml", "revisionHistoryLimit: 3", "revisionHistoryLimit: 2");
    smuggle(&manager, &clone, "Upgrade the base to 0.0.1\n\nSource: upgrade");
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    let page = manager.expect("GET", "/upgrade", None, 200).await;
    let page = page.as_str().expect("a page");
    assert!(page.contains("base/statefulset.yaml") && page.contains("base/service.yaml"), "{page}");
    manager.expect("POST", "/upgrade", None, 200).await;
    update(&clone);
    assert!(
        file("base/statefulset.yaml").contains("revisionHistoryLimit: 3") && file("base/service.yaml").contains("8080")
    );
    let last = git_ok(&clone, &["log", "-1", "--format=%an %B"]);
    assert!(last.starts_with("Administrator") && last.contains("Request-Id: "), "{last}");
    let head = git_ok(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
    manager.project_until("shop", |shop| shop["appliedRevision"] == *head).await;
    manager.expect("POST", "/upgrade", None, 200).await;
    update(&clone);
    assert_eq!(git_ok(&clone, &["rev-parse", "HEAD"]).trim(), head, "there is nothing more to renew");
}
