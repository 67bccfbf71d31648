//! Trees that grow by themselves, and kustomizations made by chance: an error, never a panic.

use proptest::prelude::*;

use super::*;

#[test]
fn trees_that_double_or_never_end_are_errors() {
    // Each directory names the next one twice, so the last would be entered 2^60 times.
    let mut doubling = MemoryFiles::default();
    for level in 0..60 {
        doubling.insert(
            path(&format!("d{level}/kustomization.yaml")),
            format!("resources: [../d{0}, ../d{0}]\n", level + 1),
        );
    }
    doubling.insert(path("d60/kustomization.yaml"), "components: []\nnamePrefix: x\n");
    assert!(kustomize::build(&doubling, &path("d0")).is_err());

    let mut chain = MemoryFiles::default();
    for level in 0..5000 {
        chain.insert(path(&format!("d{level}/kustomization.yaml")), format!("resources: [../d{}]\n", level + 1));
    }
    let failure = kustomize::build(&chain, &path("d0")).unwrap_err();
    assert!(failure.to_string().contains("build on one another"), "{failure}");

    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n";
    let wide: String = (0..64).map(|at| format!("    - {{op: copy, from: /data, path: /data/x{at}}}\n")).collect();
    let deep = "    - {op: copy, from: /data, path: /data/x}\n".repeat(50_000);
    for (operations, message) in [(wide, "copies make more"), (deep, "nested deeper")] {
        let kustomization =
            format!("resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |-\n{operations}");
        let failure = error(&[("kustomization.yaml", &kustomization), ("a.yaml", config_map)], "");
        assert!(failure.to_string().contains(message), "{failure}");
    }
    let kustomization = format!(
        "resources: [a.yaml]\nlabels: [{{pairs: {{a: b}}, fields: [{{path: {}x, create: true}}]}}]\n",
        "x/".repeat(50_000)
    );
    let failure = error(&[("kustomization.yaml", &kustomization), ("a.yaml", config_map)], "");
    assert!(failure.to_string().contains("parts"), "{failure}");
}

fn any_kustomization() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("resources: [a.yaml]".to_owned()),
        Just("resources: [a.yaml, b, ../x, '']".to_owned()),
        Just("resources: [a.yaml]\nresources: 5".to_owned()),
        "namePrefix: [a-z{}'\"-]{0,5}",
        "namespace: [a-z.]{0,5}",
        "images: \\[\\{name: '[a-z(\\[*+?]{0,4}', newTag: \"[a-z0-9]{0,3}\"\\}\\]",
        "labels: \\[\\{pairs: \\{[a-z]{1,3}: [a-z1]{0,3}\\}, includeSelectors: (true|false|x), fields: \\[\\{path: '[a-z/\\[\\]]{0,12}', create: true\\}\\]\\}\\]",
        "patches: \\[\\{target: \\{kind: '[A-Za-z.*(]{0,9}'\\}, patch: '\\[\\{op: (add|remove|copy|move|test|x), path: [a-z0-9/~-]{0,12}, from: /spec, value: [a-z\\[\\]{}0-9]{0,5}\\}\\]'\\}\\]",
        "patches: \\[\\{patch: '\\{apiVersion: v1, kind: Pod, metadata: \\{name: (a|b)\\}, spec: \\{containers: \\[[a-z{}:$, ]{0,20}\\]\\}\\}'\\}\\]",
        "configMapGenerator: \\[\\{name: [a-z]{0,3}, literals: \\['[a-z=\"]{0,6}'\\], behavior: (merge|create|x)\\}\\]",
        "replicas: \\[\\{name: [a-z]{0,3}, count: [0-9a-z.-]{0,4}\\}\\]",
        "[a-zA-Z]{1,10}: [a-z\\[\\]{}0-9]{0,5}",
    ];
    prop::collection::vec(field, 0..5).prop_map(|fields| fields.join("\n"))
}

fn any_resource() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x, image: y}, {}]}\n"
                .to_owned()
        ),
        "apiVersion: v1\nkind: (Pod|List|Service|ConfigMap)\nmetadata: (\\{name: a\\}|\\[\\]|x|~)\nspec: [a-z{}\\[\\]:, ~]{0,20}\nitems: (\\[\\]|\\[\\{\\}\\]|x)\n",
        "[a-z:{}\\[\\] \n&*!|>-]{0,60}",
    ]
}

proptest! {
    #[test]
    fn building_hostile_input_never_panics(top in any_kustomization(), inner in any_kustomization(), a in any_resource(), b in any_resource()) {
        let files = tree(&[
            ("kustomization.yaml", &top),
            ("a.yaml", &a),
            ("b/kustomization.yaml", &inner),
            ("b/a.yaml", &b),
        ]);
        for directory in ["", "b", "c"] {
            match kustomize::build(&files, &path(directory)) {
                Ok(build) => drop(kustomize::to_yaml(&build.objects)),
                Err(error) => prop_assert!(!error.message.is_empty()),
            }
        }
    }
}
