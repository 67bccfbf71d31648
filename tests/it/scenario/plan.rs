//! A plan is shown with its hash; applied by that hash, it is exactly what was shown, or nothing.

use super::drift::Fleet;
use super::{append, project, push};

fn hash(shown: &str) -> String {
    let line = shown.lines().find(|line| line.starts_with("Plan ")).unwrap_or_else(|| panic!("no hash in {shown}"));
    line.split(' ').nth(1).expect("the hash").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_is_what_is_applied_or_nothing_is() {
    let Some(mut fleet) = Fleet::start("plan").await else { return };
    fleet.manager.expect("POST", "/api/projects", Some(project("second")), 201).await;
    let clone = fleet.manager.clone_state("clone");
    fleet.manager.kill();
    append(&clone, "base/service.yaml", "# a comment changes nothing\n");
    let base = clone.join("base/statefulset.yaml");
    let text = std::fs::read_to_string(&base).expect("the base");
    std::fs::write(&base, text.replace("revisionHistoryLimit: 3", "revisionHistoryLimit: 4")).expect("written");
    push(&clone, "Keep four revisions");

    let run = |arguments: &[&str]| {
        let output = fleet.manager.command(arguments).output().expect("the command");
        let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), shown.into_owned(), said.into_owned())
    };
    let (code, shown, said) = run(&["plan", "--server"]);
    assert_eq!(code, Some(2), "{shown}{said}");
    assert!(shown.contains("spec.revisionHistoryLimit: 3 -> 4"), "{shown}");
    let first = hash(&shown);
    assert_eq!(hash(&run(&["plan"]).1), first, "the same cluster and commit give the same plan");

    // Somebody changes the cluster in between: what was looked at is not what would be done.
    fleet.kubectl(&["scale", "statefulset", "shop-env", "--replicas=0"]);
    let (code, _, said) = run(&["reconcile", "--once", "--plan", &first]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("not {first}")) && said.contains("nothing was done"), "{said}");
    assert_eq!(fleet.set()["spec"]["revisionHistoryLimit"], 3);

    let second = hash(&run(&["plan"]).1);
    assert_ne!(second, first);
    let (code, shown, said) = run(&["reconcile", "--once", "--plan", &second]);
    assert_eq!(code, Some(0), "{shown}{said}");
    assert_eq!(
        (&fleet.set()["spec"]["revisionHistoryLimit"], &fleet.set()["spec"]["replicas"]),
        (&4.into(), &1.into())
    );
    let (code, shown, _) = run(&["plan"]);
    assert_eq!(code, Some(0), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_would_refuse_is_said_before_anything_is_applied() {
    let Some(mut fleet) = Fleet::start("dry").await else { return };
    let clone = fleet.manager.clone_state("clone");
    fleet.manager.kill();
    append(
        &clone,
        "projects/shop/kustomization.yaml",
        "- target: {kind: PersistentVolumeClaim, name: workspace}\n  patch: |-\n    - {op: replace, path: /spec/accessModes, value: [ReadWriteMany]}\n",
    );
    push(&clone, "shop: shared");
    let output = fleet.manager.command(&["plan", "--server"]).output().expect("plan");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: shop: PersistentVolumeClaim") && said.contains("undo the change in Git"), "{said}");
}
