//! An object on its way through a build, with what the build has to remember about it.

use std::collections::BTreeMap;

use crate::RepoPath;
use crate::yaml::{Kind, Node, Style, Tag};

use super::BuildError;
use super::field::Place;
use super::id::{Gvk, Id, Identity};
use super::origin::{self, Origin};
use super::patch;

/// An object of a build.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) node: Node,
    /// The file that it comes from, for errors.
    pub(super) place: Place,
    /// Its earlier identities, oldest first: (kind, name, effective namespace).
    pub(super) previous: Vec<(String, String, String)>,
    pub(super) prefixes: Vec<String>,
    pub(super) suffixes: Vec<String>,
    /// Whether a hash of the content is to be added to its name.
    pub(super) needs_hash: bool,
    /// Whether a generator made it.
    pub(super) generated: bool,
    /// What a patch was allowed to change of its identity.
    pub(super) allowed: patch::Options,
    /// The variables that stand for a field of it.
    pub(super) variables: Vec<String>,
    /// Where it comes from, when that is followed.
    pub(super) origin: Option<Origin>,
    /// What has changed it, when that is followed.
    pub(super) transformations: Vec<Origin>,
    /// The entry of the top's `resources` that it comes from, counted from 1; 0 for none.
    pub(super) entry: usize,
    /// What has taken its kind or its name away, should it still have none in the end.
    pub(super) nameless: Option<Box<BuildError>>,
}

impl Resource {
    pub(super) fn new(node: Node, file: &RepoPath) -> Self {
        let place = Place { file: file.clone(), line: node.mark.line as usize, field: String::new() };
        Self {
            node,
            place,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            needs_hash: false,
            generated: false,
            allowed: patch::Options::default(),
            variables: Vec::new(),
            origin: None,
            transformations: Vec::new(),
            entry: 0,
            nameless: None,
        }
    }

    pub(super) fn kind(&self) -> &str {
        self.node.get("kind").and_then(Node::text).unwrap_or_default()
    }

    /// Whether it has no kind or no name, as nothing may in the end but lists.
    pub(super) fn is_nameless(&self) -> bool {
        let no_kind = self.node.get("kind").is_none_or(Node::is_empty) || self.kind().is_empty();
        no_kind || (self.name().is_empty() && !self.kind().ends_with("List"))
    }

    pub(super) fn api_version(&self) -> &str {
        self.node.get("apiVersion").and_then(Node::text).unwrap_or_default()
    }

    pub(super) fn gvk(&self) -> Gvk {
        Gvk::new(self.api_version(), self.kind())
    }

    /// Whether `selector` takes its kind; as [`Gvk::is_selected`], without making the parts.
    pub(super) fn is_selected(&self, selector: &Gvk) -> bool {
        if !selector.kind.is_empty() && selector.kind != self.kind() {
            return false;
        }
        if selector.group.is_empty() && selector.version.is_empty() {
            return true;
        }
        let (group, version) = self.api_version().split_once('/').unwrap_or(("", self.api_version()));
        (selector.group.is_empty() || selector.group == group)
            && (selector.version.is_empty() || selector.version == version)
    }

    pub(super) fn name(&self) -> &str {
        self.meta("name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    fn meta(&self, key: &str) -> &str {
        self.node.at(&["metadata", key]).filter(|node| !node.is_null()).and_then(Node::text).unwrap_or_default()
    }

    /// The identity now.
    pub(super) fn id(&self) -> Id {
        Id::new(self.gvk(), self.name(), self.namespace())
    }

    /// As [`Resource::id`], without making its parts.
    pub(super) fn identity(&self) -> Identity<'_> {
        Identity::new(self.api_version(), self.kind(), self.name(), self.namespace())
    }

    /// Kind, name and effective namespace in the file.
    pub(super) fn original(&self) -> (&str, &str, &str) {
        match self.previous.first() {
            Some((kind, name, namespace)) => (kind, name, namespace),
            None => {
                let now = self.identity();
                (now.kind, now.name, now.namespace)
            }
        }
    }

    /// All earlier identities, oldest first; the group and version are those of now.
    pub(super) fn previous_ids(&self) -> impl Iterator<Item = Id> + '_ {
        let gvk = self.gvk();
        self.previous.iter().map(move |(kind, name, namespace)| Id {
            gvk: Gvk { kind: kind.clone(), ..gvk.clone() },
            name: name.clone(),
            namespace: namespace.clone(),
        })
    }

    /// The identity in the file.
    pub(super) fn original_id(&self) -> Id {
        self.previous_ids().next().unwrap_or_else(|| self.id())
    }

    /// Keeps the identity of now among the earlier ones; to be called before it changes.
    ///
    /// # Errors
    /// When an object that had a name and a kind has lost one of them: stock kustomize, which keeps lists of both, cannot
    /// tell any more which name and kind were one identity.
    pub(super) fn remember_id(&mut self) -> Result<(), BuildError> {
        self.clear_empty_annotations();
        let now = self.identity();
        let previous = (now.kind.to_owned(), now.name.to_owned(), now.namespace.to_owned());
        self.previous.push(previous);
        let count =
            |is_there: fn(&(String, String, String)) -> bool| self.previous.iter().filter(|it| is_there(it)).count();
        let (kinds, names) = (count(|(kind, ..)| !kind.is_empty()), count(|(_, name, _)| !name.is_empty()));
        if names > 0 && (names < self.previous.len() || kinds < self.previous.len()) {
            let other = || self.error("is renamed after it has lost its kind or its name");
            return Err(self.nameless.as_deref().cloned().unwrap_or_else(other));
        }
        Ok(())
    }

    /// Whether [`Resource::notes`] has any.
    pub(super) fn has_notes(&self) -> bool {
        let lists = [&self.prefixes, &self.suffixes].iter().any(|list| !list.is_empty());
        lists || self.needs_hash || self.generated || !self.previous.is_empty() || self.origin.is_some()
    }

    /// What stock kustomize keeps in annotations of the object while it builds.
    pub(super) fn notes(&self) -> BTreeMap<String, String> {
        let mut notes = BTreeMap::new();
        let mut note = |name: &str, value: String| {
            if !value.is_empty() {
                notes.insert(format!("internal.config.kubernetes.io/{name}"), value);
            }
        };
        let joined =
            |part: fn(&(String, String, String)) -> &str| self.previous.iter().map(part).collect::<Vec<_>>().join(",");
        note("previousKinds", joined(|(kind, _, _)| kind));
        note("previousNames", joined(|(_, name, _)| name));
        note("previousNamespaces", joined(|(_, _, namespace)| namespace));
        note("prefixes", self.prefixes.join(","));
        note("suffixes", self.suffixes.join(","));
        note("needsHashSuffix", if self.needs_hash { "enabled" } else { "" }.to_owned());
        note("allowNameChange", if self.allowed.name { "enabled" } else { "" }.to_owned());
        note("allowKindChange", if self.allowed.kind { "enabled" } else { "" }.to_owned());
        note("generatorBehavior", if self.generated { "unspecified" } else { "" }.to_owned());
        if let Some(origin) = &self.origin {
            notes.insert(origin::ORIGIN.to_owned(), origin.text());
        }
        if !self.transformations.is_empty() {
            notes.insert(origin::TRANSFORMATIONS.to_owned(), origin::list(&self.transformations));
        }
        notes
    }

    /// The object as stock kustomize has it, with its notes among the annotations.
    pub(super) fn noted(&self) -> Node {
        let mut node = self.node.clone();
        let notes = self.notes();
        if notes.is_empty() {
            return node;
        }
        if !matches!(node.get("metadata").map(|node| &node.kind), Some(Kind::Mapping(_))) {
            node.set("metadata", Node::mapping());
        }
        let Some(metadata) = node.get_mut("metadata") else { return node };
        if metadata.get("annotations").is_none_or(Node::is_empty) {
            metadata.set("annotations", Node::mapping());
        }
        if let Some(annotations) = metadata.get_mut("annotations") {
            for (key, value) in notes {
                annotations.set(&key, Node::string(value));
            }
        }
        node
    }

    /// To be called where stock kustomize notes something: it takes away what stands in the place of the annotations and has
    /// no pairs, a text as well, before it writes them.
    fn clear_empty_annotations(&mut self) {
        let is_none = |node: &Node| node.text().is_some() || node.is_empty();
        if self.node.at(&["metadata", "annotations"]).is_some_and(is_none) {
            self.set_meta("annotations", None);
        }
    }

    /// Makes annotations where there are none, as for an object that has notes there are some.
    pub(super) fn make_annotations(&mut self) {
        let metadata = self.node.get_mut("metadata");
        if let Some(metadata) = metadata.filter(|metadata| metadata.get("annotations").is_none_or(Node::is_null)) {
            metadata.set("annotations", Node::mapping());
        }
    }

    /// Forgets what the build knows of it: stock kustomize keeps that in annotations, and they are gone.
    pub(super) fn forget_notes(&mut self) {
        self.previous.clear();
        self.prefixes.clear();
        self.suffixes.clear();
        self.needs_hash = false;
        self.generated = false;
        self.allowed = patch::Options::default();
        self.origin = None;
        self.transformations.clear();
    }

    /// To be called when the annotations were written as a whole: the notes are those that came with them, or none.
    pub(super) fn adopt_notes(&mut self, other: Option<&Self>) {
        self.forget_notes();
        let Some(other) = other else { return };
        self.previous.clone_from(&other.previous);
        self.prefixes.clone_from(&other.prefixes);
        self.suffixes.clone_from(&other.suffixes);
        self.needs_hash = other.needs_hash;
        self.generated = other.generated;
        self.allowed.clone_from(&other.allowed);
        self.origin.clone_from(&other.origin);
        self.transformations.clone_from(&other.transformations);
        let notes = self.notes();
        let annotations = self.node.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
        if let Some(Kind::Mapping(pairs)) = annotations.map(|node| &mut node.kind) {
            pairs.retain(|(key, _)| key.text().is_none_or(|key| !notes.contains_key(key)));
        }
    }

    pub(super) fn set_meta(&mut self, key: &str, value: Option<Node>) {
        let Some(metadata) = self.node.get_mut("metadata") else { return };
        match value {
            Some(value) => metadata.set(key, value),
            None => drop(metadata.remove(key)),
        }
    }

    pub(super) fn set_name(&mut self, name: &str) {
        self.set_meta_text("name", name);
    }

    pub(super) fn set_meta_text(&mut self, key: &str, text: &str) {
        let node = in_style_of(self.node.at(&["metadata", key]), text);
        self.set_meta(key, Some(node));
    }

    /// `labels` or `annotations` as text.
    pub(super) fn meta_map(&self, key: &str) -> BTreeMap<String, String> {
        text_map(self.node.at(&["metadata", key]))
    }

    /// Writes `labels` or `annotations` anew, all values as strings; an empty map takes the field away.
    pub(super) fn set_meta_map(&mut self, key: &str, map: &BTreeMap<String, String>) {
        if !map.is_empty() && !matches!(self.node.get("metadata").map(|node| &node.kind), Some(Kind::Mapping(_))) {
            self.node.set("metadata", Node::mapping());
        }
        self.set_meta(key, (!map.is_empty()).then(|| string_map(map)));
    }

    pub(super) fn error(&self, message: impl std::fmt::Display) -> BuildError {
        self.place.error(format!("{}: {message}", self.id()))
    }
}

/// A text in the style of what it replaces: what was a number in its file is one again, and what a transformer has made a
/// string stays one.
pub(super) fn in_style_of(old: Option<&Node>, text: &str) -> Node {
    let in_quotes = |old: &Node| {
        let plain = Node::plain(old.text().unwrap_or_default());
        old.style == Style::Plain && old.tag == Tag::Str && (!plain.is_string() || plain.is_timestamp())
    };
    let style = match old {
        Some(old) if in_quotes(old) => Style::DoubleQuoted,
        Some(old) if old.style != Style::Flow => old.style,
        Some(_) | None => Style::Plain,
    };
    Node { style, ..Node::plain(text) }
}

/// The pairs of a mapping as text, whatever they resolve to.
pub(super) fn text_map(node: Option<&Node>) -> BTreeMap<String, String> {
    let pairs = node.and_then(Node::pairs).unwrap_or_default();
    let text = |node: &Node| node.text().unwrap_or_default().to_owned();
    pairs.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// As [`text_map`], for data, in which null is an empty text however it is written.
pub(super) fn data_map(node: Option<&Node>) -> BTreeMap<String, String> {
    let mut map = text_map(node);
    for (key, _) in node.and_then(Node::pairs).unwrap_or_default().iter().filter(|(_, value)| value.is_null()) {
        map.insert(key.text().unwrap_or_default().to_owned(), String::new());
    }
    map
}

/// A mapping of strings. Its keys are written anew without quotes, so that one that looks like a number is none of a
/// string any more: stock kustomize cannot print such an object.
pub(super) fn string_map(map: &BTreeMap<String, String>) -> Node {
    let mut node = Node::mapping();
    if let Kind::Mapping(pairs) = &mut node.kind {
        pairs.extend(map.iter().map(|(key, value)| (Node::plain(key.as_str()), Node::string(value.as_str()))));
    }
    node
}
