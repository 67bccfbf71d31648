//! Trees of kustomizations: a base, overlays on it, components, and all their fields.

use super::dice::Dice;
use super::fields::{self, KINDS};
use super::hostile;
use super::objects::{NAMES, object};
use super::parts;

/// Paths and contents.
pub(crate) type Tree = Vec<(String, Vec<u8>)>;

/// How many fields there are to choose from.
const FIELDS: usize = fields::COUNT + parts::COUNT;

/// A tree, whose top is the directory `top`.
pub(crate) fn tree(dice: &mut Dice) -> Tree {
    let mut files = Tree::new();
    directory(dice, &mut files, "base", &[], false);
    let mut bases = vec!["../base"];
    if dice.chance(30) {
        directory(dice, &mut files, "mid", &["../base"], false);
        bases = vec!["../mid"];
    }
    if dice.chance(20) {
        directory(dice, &mut files, "other", &[], false);
        bases.push("../other");
    }
    if dice.chance(20) {
        directory(dice, &mut files, "component", &[], true);
    }
    directory(dice, &mut files, "top", &bases, false);
    if dice.chance(12) {
        hostile::spoil(dice, &mut files);
    }
    files
}

/// What a tree has so far: (apiVersion, kind, name), in the order of the files.
pub(crate) fn known(files: &Tree) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (_, bytes) in files.iter().filter(|(path, _)| path.contains("/r")) {
        let text = String::from_utf8_lossy(bytes);
        let (mut version, mut kind) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("apiVersion: ") {
                version = value.to_owned();
            } else if let Some(value) = line.strip_prefix("kind: ") {
                kind = value.to_owned();
            } else if let Some(name) = line.strip_prefix("  name: ") {
                // The name of the object is the first one at this depth.
                if !kind.is_empty() {
                    found.push((version.clone(), kind.clone(), name.to_owned()));
                }
                kind.clear();
            }
        }
    }
    found
}

/// An object of one of some kinds; now and then one that is not there.
pub(crate) fn one_of(dice: &mut Dice, files: &Tree, kinds: &[&str]) -> (String, String, String) {
    let mut fitting = known(files);
    fitting.retain(|(_, kind, _)| kinds.is_empty() || kinds.contains(&kind.as_str()));
    if fitting.is_empty() || dice.chance(4) {
        let (version, kind) = KINDS[dice.below(KINDS.len())];
        return (version.to_owned(), kind.to_owned(), dice.pick(&NAMES).to_owned());
    }
    let at = dice.below(fitting.len());
    fitting.swap_remove(at)
}

fn directory(dice: &mut Dice, files: &mut Tree, name: &str, bases: &[&str], component: bool) {
    let mut text = if component {
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned()
    } else {
        String::new()
    };
    let mut resources: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
    let count = if component { dice.below(2) } else { 1 + dice.below(4) };
    for at in 0..count {
        let mut documents = vec![object(dice)];
        if dice.chance(30) {
            documents.push(object(dice));
        }
        let file = format!("r{at}.yaml");
        files.push((format!("{name}/{file}"), documents.join("---\n").into_bytes()));
        resources.push(file);
    }
    text += "resources:\n";
    if resources.is_empty() {
        text = text.replace("resources:\n", "resources: []\n");
    }
    for resource in &resources {
        text += &format!("- {resource}\n");
    }
    if name == "top" && files.iter().any(|(path, _)| path.starts_with("component/")) {
        text += "components:\n- ../component\n";
    }
    let count = 1 + dice.below(4);
    let mut seen = Vec::new();
    for _ in 0..count {
        let which = dice.below(FIELDS);
        let has = |kinds: &[&str]| known(files).iter().any(|(_, kind, _)| kinds.contains(&kind.as_str()));
        let possible = match which {
            7 => has(&["Deployment", "StatefulSet"]),
            // Odd uses fail more often than not, and what fails at the base says nothing of the rest.
            _ if which >= fields::COUNT => dice.chance(if name == "top" { 60 } else { 30 }),
            13..=15 => has(&["ConfigMap", "Deployment", "Service"]),
            _ => true,
        };
        if seen.contains(&which) || (!possible && dice.chance(95)) {
            continue;
        }
        seen.push(which);
        text += &match which.checked_sub(fields::COUNT) {
            None => fields::field(dice, which, name, files),
            Some(which) => parts::field(dice, which, name, files),
        };
    }
    if seen.contains(&8) && dice.chance(10) {
        text = text.replace("patches:\n", "patches: # by hand\n");
    }
    files.push((format!("{name}/kustomization.yaml"), text.into_bytes()));
}
