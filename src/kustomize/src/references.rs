//! Name references: where an object names another whose name has changed, the new name is written.
//!
//! Candidates are found by an index of all earlier names and of what was added to them, so that the cost grows with the
//! references and not with the square of the objects: a thousand overlays of one base all had the same names once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use crate::yaml::{Kind, Node};

use super::BuildError;
use super::collection::Collection;
use super::config::Config;
use super::cross_part_names::Asked;
use super::field_spec::{self, Create, FieldSpec};
use super::id::{Gvk, Id, NO_NAMESPACE};
use super::resource::Resource;

/// Updates all references in all objects. Nothing asks for earlier names after it, so they go.
/// `asked` takes down what a part would have to know of others.
pub(super) fn update(
    objects: &mut Collection,
    config: &Config,
    threads: usize,
    asked: Option<&Asked>,
) -> Result<(), BuildError> {
    let index = Index::of(objects);
    if let Some(asked) = asked {
        index.candidates.iter().for_each(|candidate| candidate.tell_changes(asked));
    }
    objects.change_apart(threads, |at, resource| {
        let referrer = Referrer::of(resource, &index.candidates[at]).map_err(|error| resource.error(error))?;
        for references in &config.references {
            for field in references.fields.iter().filter(|field| referrer.is_originally(&field.gvk)) {
                let lookup = Lookup { index: &index, referrer: &referrer, target: &references.target, field, asked };
                let mut set = |node: &mut Node| lookup.set(node);
                // The table's kind is that of the file; a patch may have changed it since.
                field_spec::visit(&mut resource.node, field, Create::Nothing, &mut set)
                    .map_err(|error| resource.error(error))?;
            }
        }
        Ok(())
    })
}

/// Why it cannot be told which object is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ReferenceError {
    #[error("a subject is no mapping")]
    Subject,
    #[error("a subject has a namespace that is no text")]
    SubjectNamespace,
    #[error("a list inside a list names no object")]
    NestedList,
    #[error("there is no name in it")]
    NoName,
    #[error("{name} may stand for {}", .candidates.join(", "))]
    Ambiguous { name: String, candidates: Vec<String> },
}

/// An object, which may be named when its identity has changed.
struct Candidate {
    id: Id,
    namespace: String,
    /// Earlier kinds, names and effective namespaces; the group and version are those of now.
    previous: Vec<(String, String, String)>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Candidate {
    /// Whether it was of a kind that `selector` takes.
    fn was(&self, selector: &Gvk) -> bool {
        let takes = |want: &str, have: &str| want.is_empty() || want == have;
        takes(&selector.group, &self.id.gvk.group)
            && takes(&selector.version, &self.id.gvk.version)
            && self.previous.iter().any(|(kind, ..)| takes(&selector.kind, kind))
    }

    /// Takes down the names that it had and has not any more.
    fn tell_changes(&self, asked: &Asked) {
        for (_, name, _) in self.previous.iter().filter(|(_, name, _)| *name != self.id.name) {
            self.previous.iter().for_each(|(kind, ..)| asked.changed(name, kind));
        }
    }

    /// Whether it had a name, and, not necessarily with it, a kind.
    fn had(&self, name: &str, kind: &str) -> bool {
        self.previous.iter().any(|(_, had, _)| had == name) && self.previous.iter().any(|(had, ..)| had == kind)
    }
}

/// All objects, by what they were called.
#[derive(Default)]
struct Index {
    /// In the order of the objects.
    candidates: Vec<Candidate>,
    hasher: RandomState,
    /// By the hash of a name and a kind that they had.
    by_name: HashMap<u64, Named>,
    /// For each namespace of the files: the effective and the written namespaces of now, of all objects from there.
    origins: BTreeMap<String, BTreeSet<(String, String)>>,
}

/// The candidates for one name and kind, and some others.
#[derive(Default)]
struct Named {
    all: Vec<usize>,
    /// By their namespace of now, when there are many: a thousand overlays of one base all had the same names.
    groups: Option<BTreeMap<String, Group>>,
}

/// So many candidates are looked through one by one.
const FEW: usize = 8;

/// Candidates that differ in little more than what the directories above them have added to their names.
#[derive(Default)]
struct Group {
    all: Vec<usize>,
    by_prefix: BTreeMap<Option<String>, Vec<usize>>,
    by_suffix: BTreeMap<Option<String>, Vec<usize>>,
}

impl Index {
    fn of(objects: &mut Collection) -> Self {
        let mut index = Self::default();
        for at in 0..objects.iter().len() {
            let resource = objects.get_mut(at);
            let id = resource.id();
            let namespace = resource.namespace().to_owned();
            let (_, _, origin) = resource.original();
            let places = match index.origins.get_mut(origin) {
                Some(places) => places,
                None => index.origins.entry(origin.to_owned()).or_default(),
            };
            if !places.iter().any(|(effective, written)| *effective == id.namespace && *written == namespace) {
                places.insert((id.namespace.clone(), namespace.clone()));
            }
            let previous = std::mem::take(&mut resource.previous);
            let (prefixes, suffixes) = (std::mem::take(&mut resource.prefixes), std::mem::take(&mut resource.suffixes));
            let names: BTreeSet<&str> = previous.iter().map(|(_, name, _)| name.as_str()).collect();
            let kinds: BTreeSet<&str> = previous.iter().map(|(kind, ..)| kind.as_str()).collect();
            for (name, kind) in names.iter().flat_map(|name| kinds.iter().map(move |kind| (*name, *kind))) {
                let hash = index.hasher.hash_one((name, kind));
                index.by_name.entry(hash).or_default().all.push(at);
            }
            index.candidates.push(Candidate { id, namespace, previous, prefixes, suffixes });
        }
        for named in index.by_name.values_mut().filter(|named| named.all.len() > FEW) {
            let mut groups: BTreeMap<String, Group> = BTreeMap::new();
            for at in &named.all {
                let candidate = &index.candidates[*at];
                let group = match groups.get_mut(&candidate.id.namespace) {
                    Some(group) => group,
                    None => groups.entry(candidate.id.namespace.clone()).or_default(),
                };
                group.all.push(*at);
                group.by_prefix.entry(candidate.prefixes.last().cloned()).or_default().push(*at);
                group.by_suffix.entry(candidate.suffixes.last().cloned()).or_default().push(*at);
            }
            named.groups = Some(groups);
        }
        index
    }
}

/// The object that names others.
struct Referrer<'a> {
    it: &'a Candidate,
    /// The `roleRef` of a binding: group and kind.
    role: Option<Gvk>,
    /// Namespaces of the ServiceAccounts that a RoleBinding names.
    subject_namespaces: BTreeSet<String>,
}

impl<'a> Referrer<'a> {
    fn of(resource: &Resource, it: &'a Candidate) -> Result<Self, ReferenceError> {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let role = resource.node.get("roleRef").and_then(|role| {
            Some(Gvk { group: text(role, "apiGroup")?, version: String::new(), kind: text(role, "kind")? })
        });
        let subjects = resource.node.get("subjects").and_then(Node::items).unwrap_or_default();
        let mut subject_namespaces = BTreeSet::new();
        if resource.kind() == "RoleBinding" {
            if subjects.iter().any(|subject| subject.pairs().is_none()) {
                return Err(ReferenceError::Subject);
            }
            let accounts = subjects.iter().filter(|subject| text(subject, "kind").as_deref() == Some("ServiceAccount"));
            for namespace in accounts.filter_map(|subject| subject.get("namespace")) {
                match namespace.text().filter(|_| namespace.is_string()) {
                    Some(name) => subject_namespaces.insert(name.to_owned()),
                    None => return Err(ReferenceError::SubjectNamespace),
                };
            }
        }
        Ok(Self { it, role, subject_namespaces })
    }

    /// Whether the kind of its file is one that `selector` takes.
    fn is_originally(&self, selector: &Gvk) -> bool {
        let takes = |want: &str, have: &str| want.is_empty() || want == have;
        let kind = self.it.previous.first().map_or(&self.it.id.gvk.kind, |(kind, ..)| kind);
        takes(&selector.kind, kind)
            && takes(&selector.group, &self.it.id.gvk.group)
            && takes(&selector.version, &self.it.id.gvk.version)
    }
}

/// One field of one object.
struct Lookup<'a> {
    index: &'a Index,
    referrer: &'a Referrer<'a>,
    target: &'a Gvk,
    field: &'a FieldSpec,
    asked: Option<&'a Asked>,
}

impl<'a> Lookup<'a> {
    fn set(&self, node: &mut Node) -> Result<(), ReferenceError> {
        if node.is_null() {
            return Ok(());
        }
        match &mut node.kind {
            Kind::Scalar(_) => self.set_name(node),
            Kind::Mapping(_) => self.set_name_and_namespace(node),
            Kind::Sequence(items) => items.iter_mut().try_for_each(|item| match item.kind {
                Kind::Scalar(_) => self.set_name(item),
                Kind::Mapping(_) => self.set_name_and_namespace(item),
                Kind::Sequence(_) => Err(ReferenceError::NestedList),
            }),
        }
    }

    fn set_name(&self, node: &mut Node) -> Result<(), ReferenceError> {
        let Kind::Scalar(text) = &node.kind else { return Ok(()) };
        let same = |a: &Candidate, b: &Candidate| a.id.name == b.id.name;
        if let Some(found) = self.find(text, |_| true, same)?.filter(|found| found.id.name != *text) {
            *node = node.with_text(found.id.name.as_str());
        }
        Ok(())
    }

    /// A mapping with `name`, and with `namespace` where that says which object is meant.
    fn set_name_and_namespace(&self, node: &mut Node) -> Result<(), ReferenceError> {
        let Some(name) = node.get("name").and_then(Node::text).map(str::to_owned) else {
            return Err(ReferenceError::NoName);
        };
        let namespace = node.get("namespace").and_then(Node::text).map(str::to_owned);
        let same = |a: &Candidate, b: &Candidate| a.id.name == b.id.name && a.namespace == b.namespace;
        let found = match &namespace {
            None => self.find(&name, |_| true, same)?,
            // Objects that came from that namespace, or, when there are none at all, those that are in it.
            Some(namespace) if self.some_come_from(namespace) => {
                let from =
                    |candidate: &Candidate| candidate.previous.first().is_some_and(|(_, _, from)| from == namespace);
                self.find(&name, from, same)?
            }
            Some(namespace) => self.find(&name, |candidate| candidate.id.namespace == *namespace, same)?,
        };
        let Some(found) = found else { return Ok(()) };
        if found.id.name == name && found.namespace.is_empty() {
            return Ok(());
        }
        write_text(node, "name", &found.id.name);
        if !found.namespace.is_empty() {
            write_text(node, "namespace", &found.namespace);
        }
        Ok(())
    }

    /// Whether any object that the referrer can name was in `namespace` in its file.
    fn some_come_from(&self, namespace: &str) -> bool {
        let near = |(effective, written): &(String, String)| self.is_near(effective, written);
        self.index.origins.get(namespace).is_some_and(|places| places.iter().any(near))
    }

    /// Whether an object in that namespace is where the referrer can name it at all.
    fn is_near(&self, effective: &str, written: &str) -> bool {
        let referrer = &self.referrer.it.id;
        referrer.is_cluster_scoped()
            || effective == NO_NAMESPACE
            || effective == referrer.namespace
            || self.referrer.subject_namespaces.contains(written)
    }

    /// Whether the referrer can mean this candidate, names aside.
    fn may_mean(&self, candidate: &Candidate) -> bool {
        let selected = |gvk: &Gvk| candidate.was(gvk);
        let role = self.referrer.role.as_ref().filter(|_| self.field.path.ends_with("roleRef/name"));
        let referrer = &self.referrer.it.id;
        selected(self.target)
            && role.is_none_or(selected)
            && self.is_near(&candidate.id.namespace, &candidate.namespace)
            && (referrer.is_cluster_scoped()
                || candidate.id.is_cluster_scoped()
                || candidate.id.gvk.kind == "ServiceAccount"
                || candidate.id.namespace == referrer.namespace)
    }

    /// The one object that `name` stands for.
    fn find(
        &self,
        name: &str,
        more: impl Fn(&Candidate) -> bool,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>, ReferenceError> {
        let found = self.find_here(name, more, same)?;
        if let Some(asked) = self.asked
            && !found.is_some_and(|found| self.shares_affixes(found, true))
        {
            asked.missing(name, &self.target.kind);
        }
        Ok(found)
    }

    fn find_here(
        &self,
        name: &str,
        more: impl Fn(&Candidate) -> bool,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>, ReferenceError> {
        let kind = self.target.kind.as_str();
        let Some(named) = self.index.by_name.get(&self.index.hasher.hash_one((name, kind))) else { return Ok(None) };
        let referrer = self.referrer;
        let candidate = |at: &usize| &self.index.candidates[*at];
        let fits = |candidate: &&Candidate| candidate.had(name, kind) && self.may_mean(candidate) && more(candidate);
        // Namespaces out of reach are not looked at; the rest is filtered below.
        let near = [referrer.it.id.namespace.as_str(), NO_NAMESPACE];
        let subjects = referrer.subject_namespaces.iter().map(String::as_str);
        let reach: BTreeSet<&str> = near.into_iter().chain(subjects).collect();
        let groups: Option<Vec<&Group>> = named.groups.as_ref().map(|groups| {
            if referrer.it.id.is_cluster_scoped() {
                groups.values().collect()
            } else {
                reach.iter().filter_map(|name| groups.get(*name)).collect()
            }
        });
        let all: Vec<&[usize]> = match &groups {
            Some(groups) => groups.iter().map(|group| group.all.as_slice()).collect(),
            None => vec![&named.all],
        };
        let mut first: Vec<&Candidate> = all.iter().copied().flatten().map(candidate).filter(fits).take(2).collect();
        if first.len() < 2 {
            return Ok(first.pop());
        }
        // Several: those of the same directory are meant, which shows in what was added to their names.
        let mut found: Vec<&Candidate> = Vec::new();
        match &groups {
            None => found.extend(named.all.iter().map(candidate).filter(fits)),
            Some(groups) => {
                for group in groups {
                    let (by_affix, last) = match (referrer.it.prefixes.last(), referrer.it.suffixes.last()) {
                        (Some(prefix), _) => (&group.by_prefix, Some(prefix)),
                        (None, Some(suffix)) => (&group.by_suffix, Some(suffix)),
                        (None, None) => (&group.by_prefix, None),
                    };
                    let near: Vec<&Vec<usize>> = match last {
                        Some(last) => [None, Some(last.clone())].iter().filter_map(|key| by_affix.get(key)).collect(),
                        None => vec![&group.all],
                    };
                    found.extend(near.into_iter().flatten().map(candidate).filter(fits));
                }
            }
        }
        found.retain(|candidate| self.shares_affixes(candidate, true));
        if found.len() > 1 {
            found.retain(|candidate| self.shares_affixes(candidate, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(first)),
            several => {
                let candidates = several.iter().map(|candidate| candidate.id.to_string()).collect();
                Err(ReferenceError::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }

    /// Whether both have got the same prefixes and suffixes, as far as the shorter list goes.
    fn shares_affixes(&self, candidate: &Candidate, none_is_fine: bool) -> bool {
        let shares = |a: &[String], b: &[String]| {
            if a.is_empty() || b.is_empty() {
                none_is_fine || a.len() == b.len()
            } else {
                let common = a.len().min(b.len());
                a[a.len() - common..] == b[b.len() - common..]
            }
        };
        let referrer = self.referrer.it;
        shares(&candidate.prefixes, &referrer.prefixes) && shares(&candidate.suffixes, &referrer.suffixes)
    }
}

fn write_text(node: &mut Node, key: &str, value: &str) {
    match node.get_mut(key) {
        Some(old) if old.text().is_some() => *old = old.with_text(value),
        _ => node.set(key, Node::string(value)),
    }
}
