use serde_json::json;

use super::*;
use crate::plan::Content;
use crate::plan::{Action, Held};
use crate::project::{ObjectKey, ProjectName, Unit};

fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey::new(group, kind, Some("team"), name)
}

fn action(key: ObjectKey, operation: Operation, reason: &str, changes: Vec<FieldChange>) -> Action {
    Action { key, api_version: "v1".to_owned(), stage: 1, operation, reason: reason.to_owned(), changes }
}

fn change(path: &str, before: Option<Value>, after: Option<Value>) -> FieldChange {
    FieldChange { path: path.to_owned(), before, after }
}

fn update() -> Operation {
    Operation::Update { object: Content::new(json!({})), take_over: false }
}

#[test]
fn a_plan_reads_like_this() {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-env-1", "namespace": "team",
        "labels": {"claude-manager.io/project": "a"}}, "data": {"GIT_BRANCH": "main"}, "list": [{"name": "x", "v": 1}, 2]});
    let secret = json!({"kind": "Secret", "metadata": {"name": "a-secrets"}, "data": {"git-token": "aHVudGVyMg=="}});
    let plans = [
        UnitPlan { unit: Unit::Base, actions: Vec::new(), held: Vec::new() },
        UnitPlan {
            unit: Unit::Project(ProjectName::parse("a").unwrap()),
            actions: vec![
                action(
                    key("", "ConfigMap", "a-env-1"),
                    Operation::Create(Content::new(config)),
                    "not in the cluster",
                    Vec::new(),
                ),
                action(
                    key("", "Secret", "a-secrets"),
                    Operation::Create(Content::new(secret)),
                    "not in the cluster",
                    Vec::new(),
                ),
                action(
                    key("apps", "StatefulSet", "a-env"),
                    update(),
                    "drift: spec.replicas (by kubectl) and 2 more",
                    vec![
                        change("spec.replicas", Some(json!(2)), Some(json!(1))),
                        change("metadata.labels.x", Some(json!("y")), None),
                        change("spec.x", None, Some(json!("\u{1b}[2J"))),
                        change("data.script", Some(json!("one\ntwo\n")), Some(json!("one\nthree\u{1b}\n"))),
                        change("args", Some(json!(["-c", "one\ntwo\n"])), Some(json!(["-c", "one\n", "more"]))),
                    ],
                ),
                action(
                    key("", "ConfigMap", "a-env-0"),
                    Operation::Delete { uid: "1".to_owned() },
                    "not in Git any more",
                    Vec::new(),
                ),
            ],
            held: vec![Held { key: key("", "PersistentVolumeClaim", "a-old"), reason: "volumes are kept".to_owned() }],
        },
    ];
    let expected = r#"a
  + ConfigMap team/a-env-1 (not in the cluster)
      + data.GIT_BRANCH: "main"
      + list[name=x].name: "x"
      + list[name=x].v: 1
      + list[1]: 2
      + metadata.labels["claude-manager.io/project"]: "a"
  + Secret team/a-secrets (not in the cluster)
      + data.git-token: "***"
  ~ StatefulSet.apps team/a-env (drift: spec.replicas (by kubectl) and 2 more)
      ~ spec.replicas: 2 -> 1
      - metadata.labels.x: "y"
      + spec.x: "\u001b[2J"
      ~ data.script:
          one
        - two
        + three�
      ~ args:
          - -c
          - one
        -   two
        + - more
  - ConfigMap team/a-env-0 (not in Git any more)
  = PersistentVolumeClaim team/a-old (volumes are kept)
2 to create, 1 to change, 1 to delete; 1 held.
"#;
    assert_eq!(show(&plans), expected);
}

#[test]
fn an_empty_plan_says_so() {
    let nothing = UnitPlan { unit: Unit::Base, actions: Vec::new(), held: Vec::new() };
    assert_eq!(show(&[nothing]), "Nothing to do: the cluster is as Git says.\n");
}
