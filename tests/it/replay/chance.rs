//! Series of applies that nobody thought of.

use serde_json::{Value, json};

use super::Both;

/// Two managers apply, by chance, what may clash, overlap and leave gaps: a fixed series of dice, so that every run is the
/// same.
#[tokio::test]
async fn two_managers_come_to_the_same_object_in_both_whatever_they_do() {
    use rand::{Rng as _, SeedableRng as _};
    let Some(both) = Both::start(0).await else { return };
    for seed in 0..6 {
        let mut dice = rand::rngs::StdRng::seed_from_u64(seed);
        let name = format!("set-{seed}");
        for step in 0..25 {
            let object = chance_set(&mut dice, &name, &both.namespace);
            let manager = ["one", "two"][dice.random_range(0..2)];
            let force = dice.random_bool(0.8);
            let what = format!("seed {seed}, step {step}, {manager}, force {force}: {object}");
            both.apply_as(&what, manager, force, &object).await;
        }
    }
}

/// A StatefulSet of which each part is there or not.
fn chance_set(dice: &mut rand::rngs::StdRng, name: &str, namespace: &str) -> Value {
    use rand::Rng as _;
    use rand::seq::SliceRandom as _;
    let mut some = |names: &[&str]| -> Vec<(String, u8)> {
        let mut chosen: Vec<(String, u8)> = Vec::new();
        for name in names {
            if dice.random_bool(0.6) {
                chosen.push(((*name).to_owned(), dice.random_range(1..3)));
            }
        }
        chosen.shuffle(dice);
        chosen
    };
    let map = |chosen: Vec<(String, u8)>| -> Value {
        chosen
            .into_iter()
            .map(|(name, number)| (name, Value::from(number.to_string())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut names = some(&["a", "b", "c"]);
    if names.is_empty() {
        names.push(("a".to_owned(), 1));
    }
    let mut containers = Vec::new();
    for (name, number) in names {
        let mut container = json!({"name": name, "image": format!("i:{number}")});
        for (field, number) in some(&["env", "ports", "resources", "args", "securityContext", "volumeMounts"]) {
            container[&field] = match field.as_str() {
                "env" => some(&["X", "Y", "Z"])
                    .into_iter()
                    .map(|(name, value)| json!({"name": name, "value": value.to_string()}))
                    .collect(),
                "ports" => some(&["TCP", "UDP"])
                    .into_iter()
                    .map(|(protocol, _)| json!({"containerPort": 80, "protocol": protocol}))
                    .collect(),
                "resources" => json!({"limits": map(some(&["cpu", "memory"]))}),
                "args" => json!([number.to_string()]),
                "securityContext" => json!({"runAsUser": number, "capabilities": {"drop": ["ALL"]}}),
                _ => json!([{"name": "v", "mountPath": format!("/{number}")}]),
            };
        }
        containers.push(container);
    }
    let mut volumes = vec![json!({"name": "v", "emptyDir": {}})];
    volumes.extend(some(&["w", "x"]).into_iter().map(|(name, number)| match number {
        1 => json!({"name": name, "emptyDir": {"sizeLimit": "1Gi"}}),
        _ => json!({"name": name, "emptyDir": {}}),
    }));
    let labels = json!({"app": name});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace, "labels": map(some(&["l", "m"]))},
        "spec": {"serviceName": "s", "replicas": 0, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels, "annotations": map(some(&["n", "o"]))},
                              "spec": {"containers": containers, "volumes": volumes}}},
    });
    for (field, number) in some(&["revisionHistoryLimit", "annotations", "nodeSelector", "securityContext"]) {
        match field.as_str() {
            "revisionHistoryLimit" => object["spec"][&field] = json!(number),
            "annotations" => object["metadata"][&field] = map(some(&["p", "q"])),
            "nodeSelector" => object["spec"]["template"]["spec"][&field] = map(some(&["disk"])),
            _ => object["spec"]["template"]["spec"][&field] = json!({"fsGroup": number}),
        }
    }
    object
}
