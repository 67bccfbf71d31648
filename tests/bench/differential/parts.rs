//! The fields of a kustomization that few have, and the odd uses of the others.

use super::dice::Dice;
use super::objects::{NAMES, NAMESPACES};
use super::plugins;
use super::styles;
use super::tree::{Tree, known, one_of};

/// How many there are.
pub(crate) const COUNT: usize = 17;

/// Field number `which`, with the files that it needs.
pub(crate) fn field(dice: &mut Dice, which: usize, directory: &str, files: &mut Tree) -> String {
    match which {
        0 | 1 => sources(dice, directory, files),
        2 => crds(dice, directory, files),
        3 => openapi(dice, directory, files),
        4 => plugins::field(dice, "generators", directory, files),
        5 | 6 => plugins::field(dice, "transformers", directory, files),
        7 => plugins::field(dice, "validators", directory, files),
        8 | 9 => replacements(dice, directory, files),
        10..=12 => patches(dice, directory, files),
        13 => json_patches(dice, directory, files),
        14 => labels(dice),
        15 => images(dice),
        _ => odd(dice),
    }
}

fn put(files: &mut Tree, directory: &str, name: &str, content: impl Into<Vec<u8>>) {
    let path = format!("{directory}/{name}");
    files.retain(|(other, _)| *other != path);
    files.push((path, content.into()));
}

/// Generators that read files and env files, text or not.
fn sources(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let contents: [&[u8]; 14] = [
        b"one\ntwo\n",
        b"",
        b"no end",
        b"\xff\xfe\x00binary",
        b"\x00",
        b"ends blank \nx\n",
        b"\xef\xbb\xbfbom: 1\n",
        b"crlf\r\nlines\r\n",
        b"\ttab\n",
        "é\u{2028}\u{1F600}\n".as_bytes(),
        b"\n\nleading\n",
        b"{\"json\": [1, 2]}",
        b"a very long line that goes on and on, past the eightieth column, until there is nothing more to say\n",
        b"# c\nA=1\n",
    ];
    put(files, directory, "data.txt", contents[dice.below(contents.len())]);
    put(files, directory, "conf.ini", contents[dice.below(contents.len())]);
    let env = [
        "A=1\nB=two words\n# comment\n\nC=\n",
        "A=1\nB=2\n",
        "ONE=1\n",
        "X=y\n# c\nZ=\n",
        "A=x=y\n  D = spaced \nE='q'\n",
        "\u{feff}A=1\nB\n",
        "A=1\r\nB=2\r\n",
        "=x\n",
        "A=$B\nB=\"x\\ny\"\n",
        "A b=1\n",
        "A=1\nA=2\n",
        "export A=1\n",
    ];
    put(files, directory, "settings.env", env[dice.below(env.len())]);
    let secret = dice.chance(45);
    let (field, kind) = if secret { ("secretGenerator", "Secret") } else { ("configMapGenerator", "ConfigMap") };
    let there: Vec<String> =
        known(files).into_iter().filter(|(_, found, _)| found == kind).map(|(_, _, name)| name).collect();
    let mut text = format!("{field}:\n");
    for at in 0..=dice.below(2) {
        if !there.is_empty() && dice.chance(40) {
            text += &format!(
                "- name: {}\n  behavior: {}\n",
                there[dice.below(there.len())],
                dice.pick(&["merge", "replace", "create"])
            );
        } else {
            text += &format!("- name: gen-{}{at}\n", &directory[..1]);
        }
        if secret && dice.chance(30) {
            text += &format!("  type: {}\n", dice.pick(&["kubernetes.io/tls", "Opaque", "''"]));
        }
        for line in dice.some(
            &[
                "files:\n  - data.txt\n  - renamed=conf.ini",
                "envs: [settings.env]",
                "env: settings.env",
                "literals: [a=b, 'c=\"d\"']",
            ],
            40,
        ) {
            text += &format!("  {line}\n");
        }
        if dice.chance(6) {
            text += &format!(
                "  {}\n",
                dice.pick(&[
                    "files: [../x/data.txt]",
                    "files: [a=b=data.txt]",
                    "files: [=data.txt]",
                    "files: [data.txt=]",
                    "envs: [missing.env]",
                    "files: [.]",
                    "literals: ['=x']",
                    "literals: [x]"
                ])
            );
        }
        if dice.chance(30) {
            text += &format!(
                "  options:\n    {}\n",
                dice.pick(&[
                    "disableNameSuffixHash: true",
                    "immutable: true",
                    "labels: {x: y}",
                    "annotations: {x: 'true'}",
                    "disableNameSuffixHash: false"
                ])
            );
        }
    }
    text
}

fn crds(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let field = dice.pick(&["image", "configRef", "ref"]);
    let extension = dice.pick(&[
        "\"x-kubernetes-annotation\": \"\"",
        "\"x-kubernetes-label-selector\": \"\"",
        "\"x-kubernetes-identity\": \"\"",
        "\"x-kubernetes-object-ref-api-version\": \"v1\", \"x-kubernetes-object-ref-kind\": \"ConfigMap\"",
        "\"x-kubernetes-object-ref-api-version\": \"v1\", \"x-kubernetes-object-ref-kind\": \"Secret\", \"x-kubernetes-object-ref-name-key\": \"name\"",
    ]);
    let kind = dice.pick(&["Gizmo", "Widget"]);
    let text = format!(
        "{{\"example.com/v1.{kind}\": {{\"Schema\": {{\"properties\": {{\"apiVersion\": {{\"type\": \"string\"}}, \"kind\": {{\"type\": \"string\"}}, \
         \"metadata\": {{\"$ref\": \"k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta\"}}, \"spec\": {{\"$ref\": \"example.com/v1.{kind}Spec\"}}}}}}, \
         \"Dependencies\": []}}, \"example.com/v1.{kind}Spec\": {{\"Schema\": {{\"properties\": {{\"{field}\": {{\"type\": \"string\", {extension}}}}}}}}}}}"
    );
    put(files, directory, "crd.json", text);
    "crds: [crd.json]\n".to_owned()
}

fn openapi(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let strategy = dice.pick(&["merge", "retainKeys", "merge,retainKeys", "replace"]);
    let text = format!(
        "{{\"definitions\": {{\"v1.Gizmo\": {{\"type\": \"object\", \"properties\": {{\"apiVersion\": {{\"type\": \"string\"}}, \"kind\": {{\"type\": \"string\"}}, \
         \"spec\": {{\"$ref\": \"#/definitions/v1.GizmoSpec\"}}}}, \"x-kubernetes-group-version-kind\": [{{\"group\": \"example.com\", \"kind\": \"Gizmo\", \
         \"version\": \"v1\"}}]}}, \"v1.GizmoSpec\": {{\"type\": \"object\", \"properties\": {{\"parts\": {{\"type\": \"array\", \"items\": {{\"type\": \
         \"object\"}}, \"x-kubernetes-patch-merge-key\": \"key\", \"x-kubernetes-patch-strategy\": \"{strategy}\"}}}}}}}}}}"
    );
    put(files, directory, "types.json", text);
    dice.pick(&["openapi: {path: types.json}\n", "openapi:\n  path: types.json\n", "openapi: {version: v1.21.2}\n"])
        .to_owned()
}

/// Selectors, options and paths of all sorts.
fn replacements(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let mut entry = String::new();
    if dice.chance(15) {
        entry += &format!(
            "- sourceValue: {}\n",
            dice.pick(&["v", "\"5\"", "''", "\"a:b\"", "\"two\\nlines\"", "\"{a: b}\""])
        );
    } else {
        let (version, kind, name) = one_of(dice, files, &[]);
        entry += "- source:\n";
        let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
        for (line, percent) in [
            (format!("kind: {kind}"), 90),
            (format!("name: {name}"), 85),
            (format!("group: {group}"), 10),
            (format!("version: {}", version.rsplit('/').next().unwrap_or_default()), 10),
            (format!("namespace: {}", dice.pick(&NAMESPACES)), 8),
        ] {
            if dice.chance(percent) && !line.ends_with(' ') {
                entry += &format!("    {line}\n");
            }
        }
        let path = dice.pick(&[
            "metadata.name",
            "metadata.namespace",
            "metadata.labels.app",
            "metadata.labels",
            "metadata.annotations",
            "kind",
            "data.k",
            "data.[a.b]",
            "data.a\\.b",
            "data",
            "spec",
            "spec.replicas",
            "spec.ports.0",
            "spec.ports.-",
            "spec.ports.*.port",
            "spec.size",
            "spec.list",
            "spec.list.0",
            "spec.extra.k",
            "spec.parts.[key=a].value",
            "spec.template.spec.containers",
            "spec.template.spec.containers.[name=main]",
            "spec.template.spec.containers.[image=nginx.*].name",
        ]);
        entry += &format!("    fieldPath: {path}\n");
        if dice.chance(25) {
            entry += &format!(
                "    options: {{delimiter: '{}', index: {}}}\n",
                dice.pick(&[".", "-", "/", ":", " "]),
                dice.pick(&["0", "1", "5", "-1"])
            );
        }
    }
    entry += "  targets:\n";
    for _ in 0..=dice.below(2) {
        let select = dice.pick(&[
            "{kind: ConfigMap}",
            "{kind: Widget}",
            "{kind: 'Deploy.*|Stateful.*'}",
            "{group: apps}",
            "{version: v1, kind: Service}",
            "{name: web}",
            "{name: 'w.*', kind: ConfigMap}",
            "{labelSelector: 'app=web'}",
            "{labelSelector: 'app in (web,db),tier'}",
            "{annotationSelector: note, kind: ConfigMap}",
            "{namespace: prod}",
            "{kind: Gizmo}",
            "{}",
        ]);
        entry += &format!("  - select: {select}\n");
        if dice.chance(25) {
            entry += &format!(
                "    reject: [{}]\n",
                dice.pick(&[
                    "{name: web}",
                    "{kind: Service}",
                    "{labelSelector: 'app=web'}",
                    "{name: db, kind: ConfigMap}",
                    "{namespace: prod}"
                ])
            );
        }
        if dice.chance(92) {
            entry += "    fieldPaths:\n";
            for _ in 0..=dice.below(2) {
                let path = dice.pick(&[
                    "metadata.annotations.new",
                    "metadata.annotations.[new/x.y]",
                    "metadata.annotations.note",
                    "metadata.labels.app",
                    "metadata.labels",
                    "metadata.name",
                    "metadata.namespace",
                    "data.new",
                    "data.json.a.b",
                    "data.json.list.0",
                    "data.json.new",
                    "data.yaml.a.b",
                    "data.yaml.list.[x=1].x",
                    "data.yaml.new.deep",
                    "data.\"k\"",
                    "data.k",
                    "data",
                    "spec.new.deep",
                    "spec.list.*",
                    "spec.list.0",
                    "spec.list.2",
                    "spec.list.-",
                    "spec.extra.k.x",
                    "spec.size",
                    "spec.size.k",
                    "spec.ports.*.port",
                    "spec.ports.0.targetPort",
                    "spec.template.spec.containers.*.image",
                    "spec.template.spec.containers.[name=m.*].image",
                    "spec.template.spec.containers.[name=new].image",
                    "spec.template.metadata.labels.app",
                    "spec.parts.[key=a].value",
                    "spec.parts.[key=c].value",
                ]);
                entry += &format!("    - {path}\n");
            }
        }
        if dice.chance(55) {
            let options = dice.pick(&[
                "{create: true}",
                "{create: true}",
                "{delimiter: ':', index: 0}",
                "{delimiter: ':', index: 1}",
                "{delimiter: '/', index: -1}",
                "{delimiter: '-', index: 9, create: true}",
                "{delimiter: '.'}",
                "{create: false}",
                "{encoding: base64}",
            ]);
            entry += &format!("    options: {options}\n");
        }
    }
    if dice.chance(20) {
        let text =
            if dice.chance(50) { entry } else { entry.replace("\n  ", "\n").trim_start_matches("- ").to_owned() };
        put(files, directory, "replacement.yaml", text);
        return "replacements:\n- path: replacement.yaml\n".to_owned();
    }
    format!("replacements:\n{entry}")
}

fn indented(text: &str, pad: &str) -> String {
    text.lines().map(|line| format!("{pad}{line}\n")).collect()
}

/// The part of a strategic merge below the name.
fn merge_body(dice: &mut Dice) -> String {
    let container = "spec:\n  template:\n    spec:\n";
    match dice.below(22) {
        0 => format!(
            "{container}      $setElementOrder/containers:\n      - name: side\n      - name: main\n      containers:\n      - name: side\n        image: s\n"
        ),
        1 => format!(
            "{container}      volumes:\n      - name: v\n        $retainKeys: [name, emptyDir]\n        emptyDir: {{}}\n"
        ),
        2 => {
            format!("{container}      containers:\n      - name: main\n        $deleteFromPrimitiveList/args: [--a]\n")
        }
        3 => format!(
            "{container}      containers:\n      - name: main\n        args: [--new]\n        env:\n        - name: A\n          $patch: delete\n"
        ),
        4 => format!(
            "{container}      containers:\n      - name: main\n        env:\n        - $patch: replace\n        - name: Z\n          value: z\n"
        ),
        5 => format!(
            "{container}      containers:\n      - $patch: delete\n        name: main\n      - name: last\n        image: l\n"
        ),
        6 => {
            format!("{container}      containers:\n      - name: main\n        $patch: replace\n        image: only\n")
        }
        7 => "spec:\n  $patch: delete\n".to_owned(),
        8 => "spec:\n  $patch: merge\n  added: x\n".to_owned(),
        9 => "spec:\n  $patch: nonsense\n".to_owned(),
        10 => "metadata:\n  name: other\n".to_owned(),
        11 => "spec:\n  ports:\n  - port: 80\n    targetPort: http\n  - port: 443\n".to_owned(),
        12 => "spec:\n  parts:\n  - key: a\n    value: patched\n  - key: z\n    value: new\n".to_owned(),
        13 => "rules: []\nsubjects:\n- kind: User\n  name: u\n".to_owned(),
        14 => {
            "data:\n  k: |\n    block\n      text\n  a.b: >-\n    folded\n    text\nbinaryData:\n  x: AAEC\n".to_owned()
        }
        15 => format!("spec:\n  extra: {}\n", styles::value(dice, 4)),
        16 => format!("spec:{}\n", styles::node(dice, 0, 2, &mut Vec::new())),
        17 => "data: null\n".to_owned(),
        18 => "data: {}\nspec: {}\n".to_owned(),
        19 => "  annotations: null\n".to_owned(),
        20 => "  labels:\n    $patch: replace\n    only: me\n  annotations:\n    $patch: delete\n".to_owned(),
        _ => "  ownerReferences:\n  - uid: \"1\"\n    name: o\n  finalizers: [a, b]\n".to_owned(),
    }
}

fn target(dice: &mut Dice, kind: &str) -> String {
    let choice = dice.pick(&[
        "kind: KIND",
        "name: w.*",
        "name: ^web$",
        "kind: KIND|Service",
        "kind: .*Set",
        "labelSelector: app=web",
        "labelSelector: 'app in (web, db), !tier'",
        "labelSelector: app notin (web)",
        "annotationSelector: note",
        "annotationSelector: note=x",
        "group: apps",
        "group: apps\n    version: v1",
        "namespace: prod",
        "namespace: d.*",
        "version: v1\n    kind: KIND",
        "group: ''\n    kind: KIND",
        "name: web\n    kind: KIND\n    namespace: default",
        "name: '*'",
        "labelSelector: 'a==b=c'",
        "name: (web|db)",
    ]);
    format!("  target:\n    {}\n", choice.replace("KIND", kind))
}

/// Strategic merges with directives, several documents, options; JSON patches of every operation, in JSON or YAML.
fn patches(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let mut text = "patches:\n".to_owned();
    for at in 0..=dice.below(2) {
        let (version, kind, name) = one_of(dice, files, &[]);
        let mut merge = format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n{}", merge_body(dice));
        if merge.matches("metadata:\n  name").count() > 1 {
            merge = merge.replacen(&format!("metadata:\n  name: {name}\n"), "", 1);
        }
        if dice.chance(12) {
            let (version, kind, name) = one_of(dice, files, &[]);
            merge += &format!(
                "---\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  labels:\n    second: doc\n"
            );
        }
        let body = if dice.chance(55) { merge } else { operations(dice) };
        let is_json = body.starts_with(['[', '-']);
        if dice.chance(25) {
            let file = format!("more{at}.yaml");
            put(files, directory, &file, body);
            text += &format!("- path: {file}\n");
        } else {
            text += &format!("- patch: {}\n{}", dice.pick(&["|-", "|", "|+"]), indented(&body, "    "));
        }
        if is_json || dice.chance(45) {
            text += &target(dice, &kind);
        }
        if dice.chance(15) {
            text += &format!(
                "  options: {{{}}}\n",
                dice.pick(&[
                    "allowNameChange: true",
                    "allowKindChange: true",
                    "allowNameChange: true, allowKindChange: true",
                    "allowNameChange: false"
                ])
            );
        }
    }
    text
}

fn operations(dice: &mut Dice) -> String {
    let path = |dice: &mut Dice| {
        dice.pick(&[
            "/metadata/annotations/new",
            "/metadata/annotations/a~1b",
            "/metadata/annotations/note",
            "/metadata/annotations",
            "/metadata/labels",
            "/metadata/labels/app",
            "/metadata/name",
            "/metadata/namespace",
            "/metadata",
            "/kind",
            "/spec",
            "/spec/replicas",
            "/spec/template/spec/containers/0/image",
            "/spec/template/spec/containers/-",
            "/spec/template/spec/containers/-1",
            "/spec/template/spec/containers/7",
            "/spec/ports/0",
            "/data/k",
            "/data/a.b",
            "/data",
            "/spec/list/0",
            "/spec/list/-",
            "/spec/extra",
            "/spec/m~0n",
            "",
            "/",
        ])
    };
    let mut list = Vec::new();
    for _ in 0..=dice.below(2) {
        let (op, at, from) =
            (dice.pick(&["add", "add", "replace", "remove", "copy", "move", "test"]), path(dice), path(dice));
        let value = dice.pick(&[
            "\"x\"",
            "5",
            "{\"a\": \"b\"}",
            "[1, \"two\"]",
            "null",
            "true",
            "\"2020-01-01\"",
            "1.50",
            "{}",
            "\"a: b\"",
            "1e3",
            "{\"name\": \"n\", \"image\": \"i\"}",
        ]);
        list.push(match op {
            "remove" => format!("{{\"op\": \"remove\", \"path\": \"{at}\"}}"),
            "copy" | "move" => format!("{{\"op\": \"{op}\", \"from\": \"{from}\", \"path\": \"{at}\"}}"),
            _ => format!("{{\"op\": \"{op}\", \"path\": \"{at}\", \"value\": {value}}}"),
        });
    }
    if dice.chance(40) {
        return format!("[{}]\n", list.join(", "));
    }
    // The same in YAML, where plain values may mean something else.
    list.iter()
        .map(|operation| {
            let plain = operation.replace(
                "\"value\": \"x\"",
                &format!("\"value\": {}", dice.pick(&["x", "yes", "2020-01-01", "0x10", "~", "on"])),
            );
            format!("- {plain}\n")
        })
        .collect()
}

fn json_patches(dice: &mut Dice, directory: &str, files: &mut Tree) -> String {
    let (version, kind, name) = one_of(dice, files, &[]);
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let target = format!("  target: {{group: \"{group}\", version: {version}, kind: {kind}, name: {name}}}\n");
    let body = operations(dice);
    if dice.chance(50) {
        put(files, directory, "ops.json", body);
        return format!("patchesJson6902:\n- path: ops.json\n{target}");
    }
    format!("patchesJson6902:\n- patch: |-\n{}{target}", indented(&body, "    "))
}

fn labels(dice: &mut Dice) -> String {
    let mut text = "labels:\n".to_owned();
    for _ in 0..=dice.below(2) {
        text += &format!(
            "- pairs: {{{}}}\n",
            dice.pick(&["app: web", "x: \"5\"", "a.b/c: d", "app: other, tier: t", "x: ''"])
        );
        for flag in dice.some(
            &[
                "includeSelectors: true",
                "includeTemplates: true",
                "includeVolumeClaimTemplates: true",
                "includeSelectors: false",
            ],
            25,
        ) {
            if !text.contains(flag.split(':').next().unwrap_or_default()) {
                text += &format!("  {flag}\n");
            }
        }
        if dice.chance(35) {
            text += "  fields:\n";
            for _ in 0..=dice.below(2) {
                text += &format!(
                    "  - {}\n",
                    dice.pick(&[
                        "{path: spec/labels, create: true}",
                        "{path: spec/template/metadata/labels, kind: Deployment, create: true}",
                        "{path: spec/list/labels, kind: Widget}",
                        "{path: \"spec/parts[]/labels\", kind: Gizmo, create: true}",
                        "{path: metadata/annotations, group: apps}",
                        "{path: spec/selector, kind: Service, version: v1, create: true}",
                        "{path: data}",
                        "{path: a/b/c, kind: ConfigMap, create: true}",
                    ])
                );
            }
        }
    }
    text
}

fn images(dice: &mut Dice) -> String {
    let mut text = "images:\n".to_owned();
    for _ in 0..=dice.below(2) {
        text += &format!(
            "- name: {}\n",
            dice.pick(&[
                "nginx",
                "nginx:1.2",
                "docker.io/nginx",
                "registry:5000/app",
                "app.x",
                "ngin.",
                "\"\"",
                "nginx@sha256:abc",
                "'.*'",
                "patched"
            ])
        );
        for line in dice.some(
            &[
                "newName: other:5000/image",
                "newName: ''",
                "newTag: v3",
                "newTag: ''",
                "digest: sha256:def",
                "digest: ''",
                "tagSuffix: -dev",
            ],
            20,
        ) {
            if !text.ends_with(line.split(':').next().unwrap_or_default())
                && !text
                    .rsplit("- name")
                    .next()
                    .unwrap_or_default()
                    .contains(line.split(' ').next().unwrap_or_default())
            {
                text += &format!("  {line}\n");
            }
        }
    }
    text
}

fn odd(dice: &mut Dice) -> String {
    dice.pick(&[
        "buildMetadata: [managedByLabel]\n",
        "buildMetadata: [managedByLabel, originAnnotations, transformerAnnotations]\n",
        "buildMetadata: []\n",
        "buildMetadata: [originAnnotations, managedByLabel]\n",
        "sortOptions: {}\n",
        "sortOptions: {order: fifo, legacySortOptions: {orderFirst: [Service]}}\n",
        "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [], orderLast: [Service, Widget]}}\n",
        "sortOptions: {order: legacy, legacySortOptions: {}}\n",
        "generatorOptions: {annotations: {a: b}, immutable: true}\n",
        "generatorOptions: {disableNameSuffixHash: true}\n",
        "metadata: {name: m, labels: {a: b}}\n",
        "imageTags: [{name: nginx, newTag: old}]\n",
        "namePrefix: ''\nnameSuffix: ''\n",
        "namespace: ''\n",
        "namespace: \"5\"\n",
        "replicas: [{name: web, count: 2}, {name: db, count: 0}]\n",
        "commonAnnotations: {a: \"1\", b: ''}\ncommonLabels: {c: \"true\"}\n",
        "labels: []\n",
        "vars: [{name: V, objref: {kind: ConfigMap, name: web, apiVersion: v1}}]\n",
        "vars: [{name: NAME, objref: {kind: Service, name: web, apiVersion: v1}, fieldref: {fieldpath: metadata.name}}]\n",
    ])
    .to_owned()
}

/// A name for what is made here.
pub(crate) fn name(dice: &mut Dice) -> &'static str {
    NAMES[dice.below(NAMES.len())]
}
