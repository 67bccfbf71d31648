//! Generated ConfigMaps and Secrets, and the hashes of their names.

use super::*;

#[test]
fn generators_read_every_kind_of_source() {
    let files = [
        (
            "kustomization.yaml",
            "\
generatorOptions: {labels: {from: all}, disableNameSuffixHash: true}
configMapGenerator:
- name: a
  namespace: x
  literals: ['a=1', 'quoted=\"x y\"', 'empty=']
  envs: [vars.env]
  files: [conf/app.conf, renamed=conf/app.conf]
  options: {annotations: {own: 'yes'}, immutable: true}
secretGenerator:
- name: b
  type: kubernetes.io/tls
  files: [tls.key=conf/long.txt]
",
        ),
        ("vars.env", "\u{FEFF}# comment\n  A=1\r\nB\n\nC=x=y\n"),
        ("conf/app.conf", "line\nother\n"),
        ("conf/long.txt", "0123456789012345678901234567890123456789012345678901234567890123456789"),
    ];
    insta::assert_snapshot!(yaml(&files, ""), @r#"
    apiVersion: v1
    data:
      A: "1"
      B: ""
      C: x=y
      a: "1"
      app.conf: |
        line
        other
      empty: ""
      quoted: x y
      renamed: |
        line
        other
    immutable: true
    kind: ConfigMap
    metadata:
      annotations:
        own: "yes"
      labels:
        from: all
      name: a
      namespace: x
    ---
    apiVersion: v1
    data:
      tls.key: |
        MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMT
        IzNDU2Nzg5MDEyMzQ1Njc4OQ==
    kind: Secret
    metadata:
      labels:
        from: all
      name: b
    type: kubernetes.io/tls
    "#);
}

#[test]
fn the_hash_of_a_name_is_that_of_the_content() {
    let files = [(
        "kustomization.yaml",
        "configMapGenerator:\n- name: a\n  literals: ['html=<b>&c', 'text=\u{e9}']\nsecretGenerator:\n- name: b\n  literals: [x=y]\n",
    )];
    let names: Vec<String> = kustomize::build(&tree(&files), &RepoPath::root())
        .unwrap()
        .objects
        .into_iter()
        .map(|object| object.key.name.clone())
        .collect();
    assert_eq!(names, ["a-b5kfgfh579", "b-t86b282gdf"]);
}
