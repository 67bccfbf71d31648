//! The keys of managers in `agent-keys.yaml`.

use super::*;

#[test]
fn a_managers_key_is_added_once_and_keeps_what_is_there() {
    let key = |kid: &str| {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{kid}\n-----END PUBLIC KEY-----\n");
        Intent::TrustAgentKey(AgentKey { kid: kid.to_owned(), pem })
    };
    let mut tree = Tree::with(&["checkout"]);
    let file = RepoPath::parse("agent-keys.yaml").unwrap();
    tree.make(&key("aa00"), None).unwrap();
    let text = read_text(&tree.0, &file).unwrap();
    tree.0.insert(file.clone(), text.replace("data:", "data: # by hand").into_bytes());

    tree.make(&key("bb11"), None).unwrap();

    let text = read_text(&tree.0, &file).unwrap();
    assert!(text.contains("data: # by hand") && text.starts_with("# Public keys"), "{text}");
    let object = &kustomize::build(&tree.0, &RepoPath::root()).unwrap().objects;
    let keys = object.iter().find(|object| object.key.name == "claude-manager-agent-keys").unwrap();
    assert_eq!(keys.value["data"]["aa00.pem"], "-----BEGIN PUBLIC KEY-----\naa00\n-----END PUBLIC KEY-----\n");
    assert_eq!(keys.value["data"].as_object().unwrap().len(), 2);
    assert!(apply(&tree.0, &key("bb11"), None, &Memo::default()).unwrap().is_empty(), "it is there");
}

#[test]
fn a_repository_from_before_there_were_agents_gets_the_file_and_its_line() {
    let mut tree = Tree::with(&["checkout"]);
    let (file, root) = (RepoPath::parse("agent-keys.yaml").unwrap(), RepoPath::parse("kustomization.yaml").unwrap());
    let text = read_text(&tree.0, &root).unwrap();
    let mut old = ChangeSet::default();
    old.remove(file.clone());
    old.write(root.clone(), text.replace("- agent-keys.yaml\n", ""));
    tree.commit(&old);

    tree.make(&Intent::TrustAgentKey(AgentKey { kid: "aa00".to_owned(), pem: "x\n".to_owned() }), None).unwrap();

    let text = read_text(&tree.0, &root).unwrap();
    assert!(text.contains("resources:\n- agent-keys.yaml\n- projects/checkout\n"), "{text}");
    assert!(read_text(&tree.0, &file).unwrap().contains("aa00.pem"));
}
