//! Trees that are spoilt in one place: here and there have to fail both, or give the same.

use super::dice::Dice;
use super::tree::Tree;

/// Lines that do not belong into a kustomization, or not like this.
const BAD: [&str; 40] = [
    "unknownField: x\n",
    "namePrefix: 5\n",
    "namePrefix: null\n",
    "nameSuffix: [a]\n",
    "namespace: {a: b}\n",
    "resources: x\n",
    "resources: [missing.yaml]\n",
    "resources: [../top]\n",
    "resources: ['']\n",
    "resources: [5]\n",
    "images: {}\n",
    "images: [x]\n",
    "images: [{name: nginx, newTag: 5}]\n",
    "replicas: [{name: web, count: x}]\n",
    "replicas: [{name: web}]\n",
    "patches: [{}]\n",
    "patches: [{path: missing.yaml}]\n",
    "patches: [{patch: 'x'}]\n",
    "patches: [{patch: '', target: {kind: ConfigMap}}]\n",
    "patches: [{patch: '[]', target: {kind: ConfigMap}}]\n",
    "patches: [{patch: '[{\"op\": \"nop\", \"path\": \"/x\"}]', target: {kind: ConfigMap}}]\n",
    "patches: [{patch: '[{\"op\": \"add\", \"path\": \"x\", \"value\": 1}]', target: {kind: '('}}]\n",
    "labels: [{pairs: {a: 5}}]\n",
    "labels: [{}]\n",
    "commonLabels: {a: true}\n",
    "commonLabels: {'-a': 'not ok!'}\n",
    "commonAnnotations: {a: null}\n",
    "configMapGenerator: [{}]\n",
    "configMapGenerator: [{name: x, literals: [noequals]}]\n",
    "configMapGenerator: [{name: x, files: [missing]}]\n",
    "configMapGenerator: [{name: x, behavior: merge}]\n",
    "configMapGenerator: [{name: x, behavior: nonsense}]\n",
    "replacements: [{}]\n",
    "replacements: [{source: {kind: Nope}, targets: [{select: {kind: ConfigMap}}]}]\n",
    "vars: [{name: V}]\n",
    "sortOptions: {order: nonsense}\n",
    "buildMetadata: [nonsense]\n",
    "openapi: {version: v9}\n",
    "apiVersion: v1\n",
    "kind: Nothing\n",
];

/// Spoils one file.
pub(crate) fn spoil(dice: &mut Dice, files: &mut Tree) {
    let at = dice.below(files.len());
    let last = files.len() - 1;
    match dice.below(12) {
        0 => drop(files.remove(at)),
        1..=4 => {
            let line = dice.pick(&BAD);
            files[last].1.extend_from_slice(line.as_bytes());
        }
        5 => lines(files, at, |lines| drop(lines.remove(dice.below(lines.len())))),
        6 => lines(files, at, |lines| {
            let line = lines[dice.below(lines.len())].clone();
            lines.insert(dice.below(lines.len()), line);
        }),
        7 => {
            let bytes = &mut files[at].1;
            if !bytes.is_empty() {
                let place = dice.below(bytes.len());
                bytes[place] = dice
                    .pick(&["x", ":", "\t", " ", "'", "\"", "{", "]", "&", "*", "#", "-", "\n", "%", "!", "|", "0"])
                    .as_bytes()[0];
            }
        }
        8 => {
            let text = String::from_utf8_lossy(&files[at].1).replace('\n', "\r\n");
            files[at].1 = text.into_bytes();
        }
        9 => {
            let text = dice.pick(&[
                "",
                "# nothing\n",
                "---\n",
                "--- \n---\n",
                "null\n",
                "{}\n",
                "[]\n",
                "x\n",
                "\u{feff}a: b\n",
            ]);
            files[at].1 = text.into();
        }
        10 => {
            let line = dice.pick(&[
                "kind: List\n",
                "metadata: {}\n",
                "metadata:\n  name: other\n",
                "items: []\n",
                "data: [x]\n",
                "spec: 5\n",
                "? complex\n: x\n",
                "5: x\n",
                "true: x\n",
                "null: x\n",
            ]);
            files[at].1.extend_from_slice(line.as_bytes());
        }
        _ => {
            let bytes = &mut files[at].1;
            bytes.truncate(dice.below(bytes.len() + 1));
        }
    }
}

fn lines(files: &mut Tree, at: usize, change: impl FnOnce(&mut Vec<String>)) {
    let text = String::from_utf8_lossy(&files[at].1).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    change(&mut lines);
    files[at].1 = (lines.join("\n") + "\n").into_bytes();
}
