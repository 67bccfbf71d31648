//! The `target` of a patch: regular expressions on names and kinds, selectors on labels and annotations.

use std::collections::BTreeMap;

use crate::BuildError;
use crate::collection::Collection;
use crate::field::{Field, Place};
use crate::id::Gvk;
use crate::pattern::Pattern;
use crate::resource::Resource;

/// Which objects a patch or a replacement is for; empty parts take all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    gvk: Gvk,
    pub(super) name: String,
    namespace: String,
    label_selector: String,
    annotation_selector: String,
    place: Place,
}

impl Target {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut target = Self { place: entry.place(), ..Self::default() };
        let known = ["group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"];
        for (name, field) in entry.fields(&known)? {
            let text = field.string()?;
            match name {
                "group" => target.gvk.group = text,
                "version" => target.gvk.version = text,
                "kind" => target.gvk.kind = text,
                "name" => target.name = text,
                "namespace" => target.namespace = text,
                "labelSelector" => target.label_selector = text,
                _ => target.annotation_selector = text,
            }
        }
        Ok(target)
    }
}

/// A target, ready to be held against objects.
pub(crate) struct Selector {
    group: Option<Pattern>,
    version: Option<Pattern>,
    kind: Option<Pattern>,
    name: Option<Pattern>,
    namespace: Option<Pattern>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

/// One term of a label selector.
#[derive(Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    pub(crate) fn new(target: &Target) -> Result<Self, BuildError> {
        let regex = |pattern: &str| match pattern {
            "" => Ok(None),
            _ => Pattern::new(pattern).map(Some).map_err(|error| target.place.error(error)),
        };
        let requirements = |text: &str| requirements(text).map_err(|error| target.place.error(error));
        Ok(Self {
            group: regex(&target.gvk.group)?,
            version: regex(&target.gvk.version)?,
            kind: regex(&target.gvk.kind)?,
            name: regex(&target.name)?,
            namespace: regex(&target.namespace)?,
            labels: requirements(&target.label_selector)?,
            annotations: requirements(&target.annotation_selector)?,
        })
    }

    /// The indexes of the objects that this takes, by the identity of now or of the file.
    pub(crate) fn select(&self, objects: &Collection) -> Vec<usize> {
        objects.iter().enumerate().filter(|(_, resource)| self.takes(resource)).map(|(index, _)| index).collect()
    }

    fn takes(&self, resource: &Resource) -> bool {
        let now = resource.identity();
        if !(matches(&self.group, now.group) && matches(&self.version, now.version) && matches(&self.kind, now.kind)) {
            return false;
        }
        let (_, name, namespace) = resource.original();
        if !(matches(&self.namespace, now.namespace) || matches(&self.namespace, namespace)) {
            return false;
        }
        if !(matches(&self.name, now.name) || matches(&self.name, name)) {
            return false;
        }
        self.takes_meta(resource)
    }

    /// Whether one identity fits, all parts of it.
    pub(crate) fn takes_id(&self, gvk: &Gvk, name: &str, namespace: &str) -> bool {
        matches(&self.group, &gvk.group)
            && matches(&self.version, &gvk.version)
            && matches(&self.kind, &gvk.kind)
            && matches(&self.name, name)
            && matches(&self.namespace, namespace)
    }

    /// Whether anything is said of the identity.
    pub(crate) fn has_id(&self) -> bool {
        [&self.group, &self.version, &self.kind, &self.name, &self.namespace].iter().any(|part| part.is_some())
    }

    /// Whether anything is said of labels and annotations.
    pub(crate) fn has_meta(&self) -> bool {
        !self.labels.is_empty() || !self.annotations.is_empty()
    }

    /// Whether the labels and annotations fit.
    pub(crate) fn takes_meta(&self, resource: &Resource) -> bool {
        let all = |requirements: &[Requirement], key: &str| {
            let map = if requirements.is_empty() { BTreeMap::new() } else { resource.meta_map(key) };
            requirements.iter().all(|requirement| requirement.is_met(&map))
        };
        all(&self.labels, "labels") && all(&self.annotations, "annotations")
    }
}

fn matches(pattern: &Option<Pattern>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
}

impl Requirement {
    fn is_met(&self, map: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => map.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => map.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => map.contains_key(key),
            Self::Absent(key) => !map.contains_key(key),
        }
    }
}

/// A term that is no part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no selector")]
struct SelectorError(String);

/// `a=b, c!=d, e in (f, g), h notin (i), j, !k`
fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut terms = vec![String::new()];
    let mut depth = 0_i32;
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match (c, depth, terms.last_mut()) {
            (',', 0, _) => terms.push(String::new()),
            (c, _, Some(term)) => term.push(c),
            (_, _, None) => {}
        }
    }
    let terms: Vec<&str> = terms.iter().map(|term| term.trim()).collect();
    if terms == [""] {
        return Ok(Vec::new());
    }
    terms.into_iter().map(|term| requirement(term).ok_or_else(|| SelectorError(term.to_owned()))).collect()
}

fn requirement(term: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned())
    };
    let value = |text: &str| {
        let text = text.trim();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        text.chars().all(fine).then(|| text.to_owned())
    };
    if let Some(rest) = term.strip_prefix('!') {
        return key(rest).map(Requirement::Absent);
    }
    if let Some(inner) = term.strip_suffix(')') {
        let (head, values) = inner.split_once('(')?;
        let (name, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let values: Vec<String> = values.split(',').map(value).collect::<Option<_>>()?;
        return match operator {
            "in" => Some(Requirement::In(key(name)?, values)),
            "notin" => Some(Requirement::NotIn(key(name)?, values)),
            _ => None,
        };
    }
    if let Some((name, text)) = term.split_once("!=") {
        return Some(Requirement::NotIn(key(name)?, vec![value(text)?]));
    }
    if let Some((name, text)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Some(Requirement::In(key(name)?, vec![value(text)?]));
    }
    key(term).map(Requirement::Exists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_kubernetes_reads_them() {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            requirements("a=b, c!=d,e in (f, g),h notin (i),app.kubernetes.io/x,!k, l==m").unwrap(),
            [
                Requirement::In("a".into(), owned(&["b"])),
                Requirement::NotIn("c".into(), owned(&["d"])),
                Requirement::In("e".into(), owned(&["f", "g"])),
                Requirement::NotIn("h".into(), owned(&["i"])),
                Requirement::Exists("app.kubernetes.io/x".into()),
                Requirement::Absent("k".into()),
                Requirement::In("l".into(), owned(&["m"])),
            ]
        );
        for text in ["a=b=c", "a b", ",", "a in b", "a in (b", "=x", "a=(b)"] {
            assert!(requirements(text).is_err(), "{text}");
        }
    }
}
