//! The folders of `tests/kustomize/`: one for each transformer or field, with files and what the real kustomize makes of
//! them. `tests/kustomize/expect.sh` writes the expectations anew.

use std::fs;
use std::path::{Path, PathBuf};

use claude_manager::kustomize;
use claude_manager::project::{MemoryFiles, RepoPath};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kustomize").join(name)
}

fn load(directory: &Path, below: &str, files: &mut MemoryFiles) {
    for entry in fs::read_dir(directory).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            load(&entry.path(), &path, files);
        } else {
            files.insert(RepoPath::parse(&path).expect("a path"), fs::read(entry.path()).expect("a file"));
        }
    }
}

/// Holds one folder against its expectation, and gives the warnings.
fn case(name: &str) -> Vec<String> {
    let mut files = MemoryFiles::default();
    load(&folder(name).join("in"), "", &mut files);
    let expected = fs::read_to_string(folder(name).join("expected.yaml")).expect("expected.yaml");
    match kustomize::build(&files, &RepoPath::parse("top").expect("a path")) {
        Ok(build) => {
            assert_eq!(kustomize::to_yaml(&build.objects), expected, "{name}");
            build.warnings
        }
        Err(error) => panic!("{name}: {error} ({:?})", error.hint),
    }
}

#[test]
fn configurations_of_a_base_hold_for_all_that_build_on_it() {
    case("configurations");
}

#[test]
fn definitions_under_crds_say_which_fields_are_names() {
    case("crds");
}

#[test]
fn replacements_reach_parts_of_texts_lists_and_structured_values() {
    case("replacements");
}

#[test]
fn variables_keep_their_type_where_they_stand_alone() {
    let warnings = case("vars");
    assert!(warnings.iter().any(|warning| warning.contains("'vars' is deprecated")), "{warnings:?}");
}

#[test]
fn plugin_documents_are_the_fields_with_settings_of_their_own() {
    case("transformers");
}

#[test]
fn lists_of_custom_types_merge_by_the_keys_of_a_given_schema() {
    case("openapi");
}

#[test]
fn origins_and_transformations_are_noted_where_that_is_asked_for() {
    case("build-metadata");
}

#[test]
fn a_label_that_was_put_into_a_selector_changes_with_the_label() {
    case("shared-labels");
}

#[test]
fn what_stock_kustomize_passes_over_is_told() {
    let warnings = case("lenient-file").join("\n");
    for part in [
        "the key \"namePrefix\" stands here a second time, which counts",
        "only the first document counts here",
        "configMapGenerator[0].behavior: is not create, replace or merge",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

#[test]
fn cluster_scoped_kinds_get_no_namespace() {
    case("cluster-scope");
}

#[test]
fn every_folder_has_a_test() {
    let text = include_str!("kustomize_cases.rs");
    for entry in fs::read_dir(folder("")).expect("the folders").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        assert!(!entry.path().is_dir() || text.contains(&format!("case(\"{name}\")")), "{name}");
    }
}
