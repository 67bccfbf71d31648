//! The fields of a kustomization that most have.

use super::dice::Dice;
use super::objects::{NAMES, NAMESPACES, VALUES};
use super::tree::{Tree, known, one_of};

/// How many there are.
pub(crate) const COUNT: usize = 19;

/// Field number `which`, with the files that it needs.
pub(crate) fn field(dice: &mut Dice, which: usize, directory: &str, files: &mut Tree) -> String {
    let short = &directory[..1];
    match which {
        0 => format!("namePrefix: {}\n", dice.pick(&["p-", "x-", "\"1\""])),
        1 => format!("nameSuffix: {}\n", dice.pick(&["-s", "-v2"])),
        2 => format!("namespace: {}\n", dice.pick(&NAMESPACES)),
        3 => labels(dice),
        4 => format!("commonLabels:\n  app: {}\n  new: label\n", dice.pick(&["web", "other"])),
        5 => format!("commonAnnotations:\n  note: {}\n", dice.pick(&["x", "\"5\"", "''", "\"a: b\""])),
        6 => images(dice),
        7 => {
            let (_, _, name) = one_of(dice, files, &["Deployment", "StatefulSet"]);
            format!("replicas:\n- name: {name}\n  count: {}\n", dice.below(9))
        }
        8..=10 => patches(dice, directory, files),
        11 | 12 => generators(dice, short, files),
        13 | 14 => replacements(dice, files),
        15 => vars(dice, files),
        16 => configurations(dice, directory, files),
        17 => transformers(dice, directory, files),
        _ => dice
            .pick(&[
                "sortOptions:\n  order: fifo\n",
                "sortOptions:\n  order: legacy\n",
                "sortOptions:\n  order: legacy\n  legacySortOptions:\n    orderFirst: [Service, Deployment]\n    orderLast: [ConfigMap]\n",
                "buildMetadata: [originAnnotations]\n",
                "buildMetadata: [transformerAnnotations, originAnnotations]\n",
                "generatorOptions:\n  disableNameSuffixHash: true\n  labels:\n    g: g\n",
            ])
            .to_owned(),
    }
}

fn labels(dice: &mut Dice) -> String {
    let mut text = format!("labels:\n- pairs:\n    app: {}\n    l: m\n", dice.pick(&["web", "\"5\""]));
    for flag in dice.some(&["includeSelectors", "includeTemplates", "includeVolumeClaimTemplates"], 40) {
        text += &format!("  {flag}: true\n");
    }
    if dice.chance(20) {
        text += "  fields:\n  - path: spec/extra/labels\n    kind: Widget\n    create: true\n";
    }
    text
}

fn images(dice: &mut Dice) -> String {
    let name = dice.pick(&["nginx", "docker.io/nginx", "registry:5000/app", "app.x", "nope"]);
    let mut text = format!("images:\n- name: {name}\n");
    for line in dice.some(&["newName: other/image", "newTag: \"2\"", "digest: sha256:def", "tagSuffix: -dev"], 40) {
        text += &format!("  {line}\n");
    }
    text
}

pub(crate) const KINDS: [(&str, &str); 6] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("example.com/v1", "Widget"),
    ("batch/v1", "CronJob"),
];

fn patches(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let (version, kind, name) = one_of(dice, files, &KINDS.map(|(_, kind)| kind));
    let head = format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n");
    let bodies = [
        "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        image: patched\n        env:\n        - name: A\n          value: patched\n        - name: C\n          value: \"1\"\n",
        "spec:\n  template:\n    spec:\n      containers:\n      - name: side\n        $patch: delete\n",
        "spec:\n  template:\n    spec:\n      containers:\n      - name: extra\n        image: extra\n        ports:\n        - containerPort: 80\n          protocol: UDP\n",
        "data:\n  k: null\n  new: value\n",
        "data:\n  $patch: replace\n  only: this\n",
        "$patch: delete\n",
        "spec:\n  list:\n  - name: b\n    v: 2\n  size: null\n",
        "spec:\n  selector: null\n  replicas: 7\n",
        "  labels:\n    patched: \"yes\"\n    app: null\n",
        "  annotations:\n    note: null\n    p: q\n",
        "spec:\n  template:\n    spec:\n      volumes:\n      - name: v\n        emptyDir: {}\n      - name: w\n        configMap:\n          name: web\n",
        "spec:\n  template:\n    spec:\n      containers:\n      - $patch: replace\n      - name: alone\n        image: alone\n",
    ];
    let merge = format!("{head}{}", bodies[dice.below(bodies.len())]);
    let json = [
        "- op: add\n  path: /metadata/labels/x\n  value: y\n",
        "- op: replace\n  path: /spec/replicas\n  value: 4\n",
        "- op: remove\n  path: /spec/template/spec/containers/0\n",
        "- op: add\n  path: /spec/ports/-\n  value: {port: 81}\n",
        "- op: add\n  path: /metadata/annotations\n  value: {a: b, c: \"5\"}\n",
        "- op: test\n  path: /kind\n  value: Deployment\n- op: replace\n  path: /metadata/name\n  value: renamed\n",
        "- op: copy\n  from: /metadata/name\n  path: /spec/copied\n",
        "- op: move\n  from: /data/k\n  path: /data/moved\n",
    ];
    let json = json[dice.below(json.len())];
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let target = |dice: &mut Dice| {
        let mut text = "  target:\n".to_owned();
        for part in dice
            .some(&["kind: Deployment", "name: web", "name: .*", "labelSelector: app=web", "namespace: default"], 35)
        {
            if !text.contains(part.split(':').next().unwrap_or_default()) {
                text += &format!("    {part}\n");
            }
        }
        if text.ends_with("target:\n") { text + &format!("    kind: {kind}\n") } else { text }
    };
    match dice.below(7) {
        0 => format!("patches:\n- patch: |-\n{}", indented(&merge)),
        1 => format!("patches:\n- patch: |-\n{}{}", indented(&merge), target(dice)),
        2 => {
            files.push((format!("{directory}/patch.yaml"), merge.into_bytes()));
            "patches:\n- path: patch.yaml\n".to_owned()
        }
        3 | 4 => format!("patches:\n- patch: |-\n{}{}", indented(json), target(dice)),
        5 => format!(
            "patchesStrategicMerge:\n- |-\n{}",
            merge.lines().map(|line| format!("  {line}\n")).collect::<String>()
        ),
        _ => {
            let options = dice.pick(&["allowNameChange: true", "allowKindChange: true"]);
            let renamed = merge.replacen(&format!("name: {name}"), "name: renamed", 1);
            format!("patches:\n- patch: |-\n{}{}  options:\n    {options}\n", indented(&renamed), target(dice))
        }
    }
}

fn generators(dice: &mut Dice, short: &str, files: &Tree) -> String {
    let (field, kind) =
        if dice.chance(60) { ("configMapGenerator", "ConfigMap") } else { ("secretGenerator", "Secret") };
    let there = known(files).into_iter().find(|(_, found, _)| found == kind).map(|(_, _, name)| name);
    let mut text = String::new();
    match there.filter(|_| dice.chance(50)) {
        Some(name) => {
            text += &format!("{field}:\n- name: {name}\n  behavior: {}\n", dice.pick(&["merge", "replace", "merge"]));
        }
        None => text += &format!("{field}:\n- name: {}-{short}\n", dice.pick(&NAMES)),
    }
    if dice.chance(10) {
        text += &format!("  namespace: {}\n", dice.pick(&NAMESPACES));
    }
    text += &format!(
        "  literals:\n  - from={short}\n  - {}\n",
        dice.pick(&["a=b=c", "k='quoted'", "e=", "\"m=1\\n2\\n\"", "u=é"])
    );
    if dice.chance(25) {
        text += "  options:\n    disableNameSuffixHash: true\n    immutable: true\n    annotations:\n      o: p\n";
    }
    text
}

fn replacements(dice: &mut Dice, files: &Tree) -> String {
    let (_, kind, name) = one_of(dice, files, &["ConfigMap", "Deployment", "Service", "StatefulSet", "Widget"]);
    let path = match kind.as_str() {
        "ConfigMap" => dice.pick(&["data.k", "data", "metadata.name"]),
        "Widget" => dice.pick(&["spec.size", "spec.list", "spec.list.0", "spec.ref.name", "spec.list.[name=a].v"]),
        "Service" => dice.pick(&["metadata.name", "spec.ports.0.port", "spec.ports.[port=80]"]),
        _ => dice.pick(&[
            "spec.template.spec.containers.[name=main].image",
            "spec.template.spec.containers.0.name",
            "spec.template.metadata.labels",
            "metadata.name",
        ]),
    };
    let mut text = format!("replacements:\n- source:\n    kind: {kind}\n    name: {name}\n    fieldPath: {path}\n");
    if dice.chance(20) {
        text += "    options:\n      delimiter: ':'\n";
    }
    text += &format!(
        "  targets:\n  - select:\n      kind: {}\n",
        dice.pick(&["ConfigMap", "Deployment", "Widget", ".*Set"])
    );
    if dice.chance(30) {
        text += &format!("    reject:\n    - name: {}\n", dice.pick(&NAMES));
    }
    text += "    fieldPaths:\n";
    let paths = [
        "data.new",
        "data.k",
        "spec.size",
        "metadata.annotations.note",
        "metadata.labels.[a.b/c]",
        "spec.list.*.v",
        "spec.template.spec.containers.[name=main].env.[name=A].value",
        "spec.list.[name=a].v",
        "data.json.a.b",
        "data.yaml.list.0.x",
        "spec.replicas",
        "spec.template.spec.containers.1.image",
        "spec.list.[name=zz].v",
    ];
    for _ in 0..=dice.below(2) {
        text += &format!("    - {}\n", paths[dice.below(paths.len())]);
    }
    if dice.chance(60) {
        text += "    options:\n";
        let options = dice.pick(&[
            "create: true",
            "create: true\n      delimiter: '-'\n      index: 1",
            "delimiter: ':'\n      index: -1",
            "delimiter: ':'\n      index: 99",
        ]);
        text += &format!("      {options}\n");
    }
    text
}

fn vars(dice: &mut Dice, files: &Tree) -> String {
    let mut text = String::from("vars:\n");
    for name in ["NAME", "OTHER"].iter().take(1 + dice.below(2)) {
        let (version, kind, object) = one_of(dice, files, &["ConfigMap", "Deployment", "Service"]);
        text +=
            &format!("- name: {name}\n  objref:\n    apiVersion: {version}\n    kind: {kind}\n    name: {object}\n");
        if dice.chance(50) {
            let path = match kind.as_str() {
                "ConfigMap" => dice.pick(&["data.k", "data"]),
                "Service" => dice.pick(&["spec.ports[0].port", "metadata.name"]),
                _ => dice.pick(&["spec.template.spec.containers[0].image", "spec.template.spec.containers.0.name"]),
            };
            text += &format!("  fieldref:\n    fieldPath: {path}\n");
        }
    }
    text
}

fn configurations(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let texts = [
        "nameReference:\n- kind: ConfigMap\n  fieldSpecs:\n  - kind: Widget\n    path: spec/ref/name\n",
        "nameReference:\n- kind: Service\n  version: v1\n  fieldSpecs:\n  - kind: Widget\n    path: spec/ref\n",
        "images:\n- kind: Widget\n  path: spec/image\n",
        "commonLabels:\n- kind: Widget\n  path: spec/labels\n  create: true\n",
        "namePrefix:\n- kind: Widget\n  path: spec/ref/name\n",
        "namespace:\n- kind: Widget\n  path: spec/ref/namespace\n  create: true\n",
        "varReference:\n- kind: Widget\n  path: spec/size\n- kind: ConfigMap\n  path: data\n",
        "replicas:\n- kind: Widget\n  path: spec/size\n  create: true\n",
        "commonAnnotations:\n- kind: Widget\n  path: spec/notes\n  create: true\n",
    ];
    files.push((format!("{directory}/config.yaml"), texts[dice.below(texts.len())].into()));
    "configurations:\n- config.yaml\n".to_owned()
}

fn transformers(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let head = |kind: &str| format!("apiVersion: builtin\nkind: {kind}\nmetadata:\n  name: t\n");
    let text = match dice.below(8) {
        0 => head("PrefixTransformer") + "prefix: t-\nfieldSpecs:\n- path: metadata/name\n",
        1 => head("LabelTransformer") + "labels:\n  t: t\nfieldSpecs:\n- path: metadata/labels\n  create: true\n",
        2 => {
            head("AnnotationsTransformer")
                + "annotations:\n  t: t\nfieldSpecs:\n- path: metadata/annotations\n  create: true\n"
        }
        3 => {
            let more = dice.pick(&[
                "unsetOnly: true\n",
                "setRoleBindingSubjects: allServiceAccounts\n",
                "setRoleBindingSubjects: none\n",
            ]);
            format!(
                "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata:\n  name: t\n  namespace: via\n{more}fieldSpecs:\n- path: metadata/name\n  kind: Namespace\n  create: true\n"
            )
        }
        4 => {
            head("ImageTagTransformer")
                + "imageTag:\n  name: nginx\n  newTag: t\nfieldSpecs:\n- path: spec/image\n  kind: Widget\n"
        }
        5 => {
            head("PatchTransformer")
                + "patch: '[{\"op\": \"add\", \"path\": \"/metadata/annotations\", \"value\": {\"t\": \"t\"}}]'\ntarget:\n  kind: ConfigMap\n"
        }
        6 => {
            head("ReplicaCountTransformer")
                + &format!(
                    "replica:\n  name: {}\n  count: 3\nfieldSpecs:\n- path: spec/replicas\n  create: true\n",
                    one_of(dice, files, &[]).2
                )
        }
        _ => {
            head("ValueAddTransformer")
                + &format!(
                    "value: {}\ntargets:\n- selector:\n    kind: Widget\n  fieldPath: spec/added/deep\n- fieldPath: metadata/namespace\n",
                    dice.pick(&["v", VALUES[0]])
                )
        }
    };
    files.push((format!("{directory}/transformer.yaml"), text.into_bytes()));
    "transformers:\n- transformer.yaml\n".to_owned()
}
