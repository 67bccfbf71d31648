//! What `kubernetes/` puts into a cluster: its texts, the API server's word on them, and the rights of the manager's account.

mod account;
mod apply;
mod sign_in;
mod texts;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The directory.
fn kubernetes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes")
}

/// The objects of one of its files.
fn objects(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(kubernetes().join(file)).expect("the file");
    documents(&text)
}

/// The objects of a text.
fn documents(text: &str) -> Vec<Value> {
    let documents =
        serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).expect("YAML"));
    documents.filter(|object| !object.is_null()).collect()
}

/// A copy of the directory in `root/kubernetes`, with an overlay beside it in `root/<name>` for `namespace`, of these components.
fn overlay(root: &Path, name: &str, namespace: &str, components: &[&str]) -> PathBuf {
    copy(&kubernetes(), &root.join("kubernetes"));
    let directory = root.join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    let list: String = components.iter().map(|name| format!("- ../kubernetes/components/{name}\n")).collect();
    let components = if list.is_empty() { list } else { format!("components:\n{list}") };
    let text = format!("namespace: {namespace}\nresources:\n- ../kubernetes\n{components}");
    std::fs::write(directory.join("kustomization.yaml"), text).expect("written");
    directory
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
