//! Errors: file, line, field, what was expected and a way out.

use super::*;

#[test]
fn errors_name_the_file_the_line_the_field_and_a_way_out() {
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    // Files, the message, a part of the hint.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (&[], "the directory . has no kustomization.yaml", "add one"),
        (&[("kustomization.yaml", "")], "kustomization.yaml: is empty", "resource"),
        (&[("kustomization.yaml", "kind: Kustomization\n")], "kustomization.yaml:1: is empty", "resource"),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n\nhelmCharts: [{name: x}]\n")],
            "kustomization.yaml:3: helmCharts: is not supported",
            "render the chart with `helm template`",
        ),
        (
            &[("kustomization.yaml", "resource: [a.yaml]\n")],
            "kustomization.yaml:1: resource: is no field that is known here",
            "did you mean resources?",
        ),
        (
            &[("kustomization.yaml", "images:\n- name: a\n  tag: b\n")],
            "kustomization.yaml:3: images[0].tag: is no field that is known here",
            "newTag",
        ),
        (
            &[("kustomization.yaml", "images:\n- name: a\n  newTag: 1.2\n")],
            "kustomization.yaml:3: images[0].newTag: must be a string; write \"1.2\" in quotes",
            "",
        ),
        (
            &[("kustomization.yaml", "resources:\n- missing.yaml\n")],
            "kustomization.yaml:2: resources[0]: missing.yaml does not exist",
            "",
        ),
        (
            &[("a/kustomization.yaml", "resources:\n- ../../x\n")],
            "a/kustomization.yaml:2: resources[0]: \"../../x\" leaves the repository",
            "inside the repository",
        ),
        (
            &[("a/kustomization.yaml", "resources:\n- ../x.yaml\n"), ("x.yaml", cm)],
            "a/kustomization.yaml:2: resources[0]: x.yaml is not in or below a, where this kustomization is",
            "move the file",
        ),
        (
            &[("kustomization.yaml", "resources: ['https://example.com/x.yaml']\n")],
            "kustomization.yaml:1: resources[0]: \"https://example.com/x.yaml\" is remote; nothing is fetched",
            "copy",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", "kind: X\nmetadata:\n  name: a\n a: b\n")],
            "a.yaml:4: is no YAML",
            "",
        ),
        (
            &[("kustomization.yaml", "patchesStrategicMerge:\n- |\n  kind: X\n  metadata: {name: a}\n  kind: X\n")],
            "kustomization.yaml:3: patchesStrategicMerge[0]: is no YAML in its line 3: the key \"kind\" stands here a second time",
            "",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", "\nmetadata: {name: a}\n")],
            "a.yaml:2: is no Kubernetes object: it has no kind",
            "apiVersion and kind",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml, b.yaml]\n"), ("a.yaml", cm), ("b.yaml", cm)],
            "b.yaml:1: ConfigMap v1 a is there already, from a.yaml:1",
            "another name",
        ),
        (
            &[
                ("kustomization.yaml", "resources: [a]\n"),
                ("a/kustomization.yaml", "resources: [../b]\n"),
                ("b/kustomization.yaml", "resources: [../a]\n"),
            ],
            "b/kustomization.yaml:1: resources[0]: a is or holds a, which is being built",
            "cannot build on itself",
        ),
        (
            &[
                ("kustomization.yaml", "resources: [a]\n"),
                ("a/kustomization.yaml", "kind: Component\nresources: []\nnamePrefix: x\n"),
            ],
            "kustomization.yaml:1: resources[0]: a is a component",
            "components",
        ),
        (
            &[
                (
                    "kustomization.yaml",
                    "resources: [a.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: b}\n",
                ),
                ("a.yaml", cm),
            ],
            "kustomization.yaml:3: patches[0]: no object is ConfigMap v1 b",
            "the nearest object is ConfigMap v1 a",
        ),
        (
            &[
                (
                    "kustomization.yaml",
                    "resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |-\n    - op: remove\n      path: /data/x\n",
                ),
                ("a.yaml", cm),
            ],
            "kustomization.yaml:3: patches[0]: does not fit ConfigMap v1 a: there is no /data/x",
            "",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\nreplicas: [{name: env, count: 1}]\n"), ("a.yaml", cm)],
            "kustomization.yaml:2: replicas[0]: no object with replicas has the name env",
            "",
        ),
        (
            &[("kustomization.yaml", "configMapGenerator:\n- name: a\n  behavior: merge\n  literals: [a=b]\n")],
            "kustomization.yaml:2: configMapGenerator[0]: there is no ConfigMap v1 a to merge with or replace",
            "behavior: create",
        ),
        (
            &[("kustomization.yaml", "secretGenerator:\n- name: a\n  literals:\n  - hunter2\n")],
            "kustomization.yaml:4: secretGenerator[0].literals[0]: must be key=value",
            "",
        ),
    ];
    for (files, message, hint) in cases {
        let error = error(files, files.first().map_or("", |(name, _)| name.split_once('/').map_or("", |(dir, _)| dir)));
        let text = error.to_string();
        assert!(text.contains(message), "expected {message}\n     got {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint);
    }
}
