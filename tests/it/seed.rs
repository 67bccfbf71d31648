//! The first commit of a state repository, against the files in this source tree.

use std::collections::BTreeMap;
use std::path::Path;

use claude_manager::edit::seed::seed;

#[test]
fn the_seed_has_every_file_of_the_template_and_the_base() {
    let mut expected = BTreeMap::new();
    let folders = [("state-repo-template", ""), ("kustomize/base", "base/"), ("kustomize/components", "components/")];
    for (folder, prefix) in folders {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut below = vec![top.clone()];
        while let Some(folder) = below.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below.push(path);
                } else {
                    let name = format!("{prefix}{}", path.strip_prefix(&top).unwrap().display());
                    expected.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
    }
    let made = seed("claude-manager", "AGE_RECIPIENT").0;
    let made: BTreeMap<String, Vec<u8>> =
        made.into_iter().map(|(path, content)| (path.to_string(), content.unwrap())).collect();
    assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(made == expected, "with the template's own names, every file is the template's to the byte");
}
