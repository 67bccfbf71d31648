//! Documents of the built-in kinds under `generators`, `transformers` and `validators`.

use super::dice::Dice;
use super::parts::name;
use super::tree::{Tree, one_of};

/// A field with some documents: files, texts in place, or a directory that builds to them.
pub(crate) fn field(dice: &mut Dice, field: &str, directory: &str, files: &mut Tree) -> String {
    let count = 1 + dice.below(2);
    let documents: Vec<String> = (0..count)
        .map(|at| match field {
            "generators" => generator(dice, directory, at),
            _ => transformer(dice, at, files),
        })
        .collect();
    let text = documents.join("---\n");
    match dice.below(5) {
        0 => {
            let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
            format!("{field}:\n- |-\n{indented}")
        }
        1 => {
            let inner = format!("{directory}/{field}");
            files.push((format!("{inner}/docs.yaml"), text.into_bytes()));
            let more = dice.pick(&["", "namePrefix: q-\n", "namespace: via\n", "commonAnnotations: {x: y}\n"]);
            files.push((format!("{inner}/kustomization.yaml"), format!("resources: [docs.yaml]\n{more}").into_bytes()));
            format!("{field}: [{field}]\n")
        }
        _ => {
            files.push((format!("{directory}/{field}.yaml"), text.into_bytes()));
            format!("{field}: [{field}.yaml]\n")
        }
    }
}

fn generator(dice: &mut Dice, directory: &str, at: usize) -> String {
    let short = &directory[..1];
    let kind = dice.pick(&["ConfigMapGenerator", "SecretGenerator", "IAMPolicyGenerator", "ConfigMapGenerator"]);
    let mut text = format!("apiVersion: builtin\nkind: {kind}\nmetadata:\n  name: made-{short}{at}\n");
    if dice.chance(20) {
        text += "  namespace: prod\n";
    }
    if kind == "IAMPolicyGenerator" {
        return text
            + &format!(
                "cloud: {}\nkubernetesService: {{name: k-{short}{at}}}\nserviceAccount: {{name: s, projectId: p}}\n",
                dice.pick(&["gke", "gke", "other"])
            );
    }
    text += &format!("literals: [a=b, {}]\n", dice.pick(&["c=d", "'c=\"\"'", "a=x", "e"]));
    for line in dice.some(
        &[
            "behavior: create",
            "name: named",
            "options: {disableNameSuffixHash: true}",
            "type: t",
            "disableNameSuffixHash: true",
        ],
        20,
    ) {
        text += &format!("{line}\n");
    }
    text
}

fn transformer(dice: &mut Dice, at: usize, files: &Tree) -> String {
    let head = |kind: &str| format!("apiVersion: builtin\nkind: {kind}\nmetadata:\n  name: t{at}\n");
    let spec = |dice: &mut Dice| {
        dice.pick(&[
            "- {path: metadata/name}\n",
            "- {path: metadata/labels, create: true}\n",
            "- {path: metadata/annotations, create: true}\n",
            "- {path: spec/template/metadata/labels, create: true, kind: Deployment}\n",
            "- {path: spec/size, kind: Widget, create: true}\n",
            "- {path: \"spec/list[]/v\", kind: Widget}\n",
            "- {path: spec/replicas, create: true}\n",
            "- {path: spec/image}\n",
            "- {path: \"spec/template/spec/containers[]/image\"}\n",
            "- {path: metadata/namespace, create: true}\n",
            "- {path: data/k, kind: ConfigMap}\n",
            "- {path: spec/ref/name, group: example.com}\n",
        ])
    };
    let kind = dice.pick(&[
        "PrefixTransformer",
        "SuffixTransformer",
        "PrefixSuffixTransformer",
        "LabelTransformer",
        "AnnotationsTransformer",
        "NamespaceTransformer",
        "ImageTagTransformer",
        "ReplicaCountTransformer",
        "PatchTransformer",
        "PatchJson6902Transformer",
        "PatchStrategicMergeTransformer",
        "ReplacementTransformer",
        "ValueAddTransformer",
        "HashTransformer",
        "PatchTransformer",
    ]);
    let specs: String = (0..=dice.below(2)).map(|_| spec(dice)).collect();
    let (version, of, object) = one_of(dice, files, &[]);
    let patch = format!("apiVersion: {version}\nkind: {of}\nmetadata:\n  name: {object}\n  labels:\n    by: plugin\n");
    let block: String = patch.lines().map(|line| format!("  {line}\n")).collect();
    head(kind)
        + &match kind {
            "PrefixTransformer" => format!("prefix: t-\nfieldSpecs:\n{specs}"),
            "SuffixTransformer" => format!("suffix: -t\nfieldSpecs:\n{specs}"),
            "PrefixSuffixTransformer" => format!("prefix: a-\nsuffix: -b\nfieldSpecs:\n{specs}"),
            "LabelTransformer" => format!("labels: {{t: t, app: web}}\nfieldSpecs:\n{specs}"),
            "AnnotationsTransformer" => format!("annotations: {{t: \"1\"}}\nfieldSpecs:\n{specs}"),
            "NamespaceTransformer" => format!(
                "namespace: via\n{}fieldSpecs:\n{specs}",
                dice.pick(&[
                    "",
                    "unsetOnly: true\n",
                    "setRoleBindingSubjects: defaultOnly\n",
                    "setRoleBindingSubjects: nonsense\n"
                ])
            ),
            "ImageTagTransformer" => format!(
                "imageTag: {{name: nginx, newTag: t{}}}\nfieldSpecs:\n{specs}",
                dice.pick(&["", ", digest: sha256:1", ", newName: n"])
            ),
            "ReplicaCountTransformer" => format!("replica: {{name: {object}, count: 5}}\nfieldSpecs:\n{specs}"),
            "PatchTransformer" if dice.chance(50) => format!(
                "patch: |-\n{block}{}",
                dice.pick(&[
                    "",
                    "target: {kind: ConfigMap}\n",
                    "target: {name: '.*'}\noptions: {allowNameChange: true}\n"
                ])
            ),
            "PatchTransformer" => format!(
                "patch: '[{{\"op\": \"add\", \"path\": \"/metadata/annotations/x\", \"value\": \"y\"}}]'\ntarget: {{kind: {of}}}\n"
            ),
            "PatchJson6902Transformer" => format!(
                "target: {{name: {object}, kind: {of}}}\njsonOp: '[{{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {{\"x\": \"y\"}}}}]'\n"
            ),
            "PatchStrategicMergeTransformer" => format!("patches: |-\n{block}"),
            "ReplacementTransformer" => format!(
                "replacements:\n- source: {{kind: {of}, name: {object}}}\n  targets:\n  - select: {{kind: ConfigMap}}\n    fieldPaths: [metadata.annotations.from]\n    options: {{create: true}}\n"
            ),
            "ValueAddTransformer" => format!(
                "value: {}\ntargets:\n- fieldPath: {}\n",
                if dice.chance(50) { "v" } else { name(dice) },
                dice.pick(&[
                    "metadata/annotations/added",
                    "metadata/namespace",
                    "spec/added",
                    "spec/path\n  filePathPosition: 1",
                    "data/k\n  selector: {kind: ConfigMap}"
                ])
            ),
            _ => String::new(),
        }
}
