//! An object that was seen: first only so much of it that it can be told whether the rest is news, then whose it is, then made
//! ready to be kept.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cluster::kinds::Resource;
use crate::plan::{Live, Packed, Packer};
use crate::project::{ObjectKey, Unit};

/// What is read of an object to find out whether the rest is news: most of what is told is known already, as the answer to
/// a write of ours.
#[derive(Debug)]
pub(in crate::cluster) struct Head {
    pub(super) key: ObjectKey,
    pub(super) version: Box<str>,
}

impl Head {
    /// Reads the head of an object's JSON; lists leave `apiVersion` and `kind` of their items, a `resource`, out.
    pub(in crate::cluster) fn read(text: &str, resource: Option<&Resource>) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object {
            api_version: Option<String>,
            kind: Option<String>,
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            namespace: Option<String>,
            name: String,
            #[serde(default)]
            resource_version: Box<str>,
        }
        let object: Object = serde_json::from_str(text).ok()?;
        let api_version = object.api_version.or_else(|| Some(resource?.api_version()))?;
        let key = ObjectKey::new(
            api_version.split_once('/').map_or("", |(group, _)| group),
            object.kind.or_else(|| Some(resource?.kind.clone()))?,
            object.metadata.namespace.as_deref(),
            object.metadata.name,
        );
        Some(Self { key, version: object.metadata.resource_version })
    }

    /// The resource version; empty where the object has none.
    pub(in crate::cluster) fn version(&self) -> &str {
        &self.version
    }

    /// The resource version as a number, where it is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// An object that was seen.
#[derive(Debug)]
pub(in crate::cluster) struct CacheEntry {
    pub(super) head: Head,
    /// `None` when neither a label nor a field manager of ours is on it.
    pub(super) kept: Option<Kept>,
}

/// What is kept of an object.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) owners: Owners,
    pub(super) is_going: bool,
    pub(super) prints: Prints,
    pub(super) object: Packed,
}

/// The units that have to do with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// The unit that its label names.
    pub(super) label: Option<Unit>,
    /// The units whose field managers have applied it.
    pub(super) appliers: Box<[Unit]>,
}

impl Owners {
    /// All of them; one may come twice.
    pub(super) fn units(&self) -> impl Iterator<Item = &Unit> {
        self.label.iter().chain(&self.appliers)
    }
}

/// Short names for what an object holds. Nobody outside of this process can foresee them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prints {
    /// Of all of it.
    pub(super) whole: u64,
    /// Of all but its status and what goes with that.
    pub(super) wanted: u64,
}

/// Makes what was seen ready to be kept, which takes its time: not while the cache is locked.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Keeper {
    packer: Packer,
    random: RandomState,
}

impl Keeper {
    /// Reads the rest of an object, as far as it is ours. `None` when it is no object after all.
    pub(in crate::cluster) fn read(&self, head: Head, text: &str, resource: Option<&Resource>) -> Option<CacheEntry> {
        let mut object = Members::read(text)?;
        if let Some(resource) = resource {
            object.add("apiVersion", || resource.api_version());
            object.add("kind", || resource.kind.clone());
        }
        let mut metadata = Members::read(object.get("metadata")?)?;
        let live = Live::new(metadata.only(&["labels", "deletionTimestamp"]));
        let owners = Owners { label: live.label, appliers: trim(&head.key, &mut object, &mut metadata) };
        if owners.units().next().is_none() {
            return Some(CacheEntry { head, kept: None });
        }
        let prints = self.prints(&object, &metadata);
        object.set("metadata", metadata.text());
        let object = self.packer.pack_text(&head.key, object.text().as_bytes());
        Some(CacheEntry { head, kept: Some(Kept { owners, is_going: live.is_going, prints, object }) })
    }

    /// The short names. The order of the members has no part in them: lists leave some of their items' members out.
    fn prints(&self, object: &Members, metadata: &Members) -> Prints {
        let (mut whole, mut wanted) = (0_u64, 0_u64);
        let mut add = |members: &Members, unwanted: &[&str], apart: &str| {
            for (name, value) in members.0.iter().filter(|(name, _)| name != apart) {
                let print = self.random.hash_one((name, value));
                whole = whole.wrapping_add(print);
                if !unwanted.contains(&&**name) {
                    wanted = wanted.wrapping_add(print);
                }
            }
        };
        add(object, &["status"], "metadata");
        add(metadata, &["resourceVersion", "managedFields"], "");
        Prints { whole, wanted }
    }
}

/// Leaves only those of the managed fields that plans look at: everybody's but what controllers say of the status. Nobody
/// compares pods with Git: what they are made of is in their template, and what they do is in their status. Gives the units
/// that have applied the object; no unit applies a pod.
fn trim(key: &ObjectKey, object: &mut Members, metadata: &mut Members) -> Box<[Unit]> {
    if key.group.is_empty() && key.kind == "Pod" {
        metadata.0.retain(|(name, _)| name != "managedFields");
        if let Some(mut spec) = object.get("spec").and_then(Members::read) {
            spec.0.retain(|(name, _)| matches!(&**name, "nodeName" | "volumes"));
            let spec = spec.text();
            object.set("spec", spec);
        }
        return Box::default();
    }
    let Some((kept, appliers)) = metadata.get("managedFields").and_then(plans_look_at) else { return Box::default() };
    metadata.set("managedFields", kept);
    appliers
}

/// The entries that plans look at, and the units that are among them with an apply.
fn plans_look_at(managers: &str) -> Option<(String, Box<[Unit]>)> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow, default)]
        manager: Cow<'a, str>,
        #[serde(borrow, default)]
        operation: Cow<'a, str>,
        #[serde(borrow, default)]
        subresource: Cow<'a, str>,
    }
    let managers: Vec<&RawValue> = serde_json::from_str(managers).ok()?;
    let (mut kept, mut appliers) = (Vec::new(), Vec::new());
    for text in managers.into_iter().map(RawValue::get) {
        let Ok(entry) = serde_json::from_str::<Entry>(text) else { continue };
        if !matches!(&*entry.subresource, "" | "scale") {
            continue;
        }
        kept.push(text);
        if entry.operation == "Apply" && entry.subresource.is_empty() {
            appliers.extend(Unit::of_field_manager(&entry.manager));
        }
    }
    Some((format!("[{}]", kept.join(",")), appliers.into()))
}

/// The members of a JSON object, as they are written: most of what is seen is only kept, and its tree would take longer to
/// make than all the rest.
struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        match value {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    fn set(&mut self, name: &str, text: String) {
        if let Some((_, value)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *value = text.into();
        }
    }

    /// Adds a text, unless there is one already.
    fn add(&mut self, name: &'static str, text: impl FnOnce() -> String) {
        if self.0.iter().all(|(known, _)| known != name) {
            self.0.push((name.into(), Value::String(text()).to_string().into()));
        }
    }

    /// An object whose metadata has these members alone.
    fn only(&self, names: &[&str]) -> Value {
        let value = |name: &str| self.get(name).and_then(|text| serde_json::from_str(text).ok());
        let members = names.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?)));
        json!({"metadata": members.collect::<serde_json::Map<String, Value>>()})
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        for (name, value) in &self.0 {
            text.push(if text.is_empty() { '{' } else { ',' });
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                text.extend(["\"", name, "\":"]);
            } else {
                text.extend([Value::from(&**name).to_string().as_str(), ":"]);
            }
            text.push_str(value);
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, Cow::Borrowed(value.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::ProjectName;

    fn seen(text: &str, resource: Option<&Resource>) -> Kept {
        kept(text, resource).expect("an object of ours")
    }

    fn kept(text: &str, resource: Option<&Resource>) -> Option<Kept> {
        thread_local! {
            static KEEPER: Keeper = Keeper::default();
        }
        KEEPER.with(|keeper| keeper.read(Head::read(text, resource).unwrap(), text, resource)).unwrap().kept
    }

    #[test]
    fn an_object_is_ours_by_label_or_by_the_exact_field_manager_of_an_apply() {
        let of = |labels: Value, managers: Value| {
            let object = json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "a", "labels": labels, "managedFields": managers}});
            kept(&object.to_string(), None).map(|kept| kept.owners)
        };
        let entry =
            |manager: &str, operation: &str| json!({"manager": manager, "operation": operation, "fieldsV1": {}});
        let project = |name: &str| Unit::Project(ProjectName::parse(name).unwrap());
        let b = json!({"claude-manager.io/project": "b"});
        let by_a = json!([entry("kubectl-label", "Update"), entry("claude-manager/a", "Apply")]);
        let both = Owners { label: Some(project("b")), appliers: [project("a")].into() };
        assert_eq!(of(b.clone(), by_a.clone()), Some(both));
        let by_manager = Owners { label: None, appliers: [project("a")].into() };
        assert_eq!(of(json!({}), by_a), Some(by_manager));
        let by_label = Owners { label: Some(project("b")), appliers: Box::default() };
        assert_eq!(of(b, json!([entry("helm", "Apply")])), Some(by_label));
        for strange in [entry("helm", "Apply"), entry("claude-manager/a", "Update"), entry("claude-manager-x", "Apply")]
        {
            assert_eq!(of(json!({}), json!([strange])), None);
        }
    }

    #[test]
    fn all_of_an_object_is_kept_but_what_no_plan_looks_at() {
        let text = r#"{"apiVersion":"apps/v1", "kind":"StatefulSet", "metadata":{"name":"a", "namespace":"n", "resourceVersion":"7",
            "deletionTimestamp":"2026-01-01T00:00:00Z", "labels":{"claude-manager.io/project":"shop"}, "managedFields":[
            {"manager":"us","fieldsV1":{"f:spec":{}}}, {"manager":"set","subresource":"status"}, {"manager":"hpa","subresource":"scale"}]},
            "spec":{"a\u0026\"b":[1.50,"\ud83d\ude00"]}, "a\u0026\"b":{}, "status":{}}"#;
        let seen = seen(text, None);
        let mut whole: Value = serde_json::from_str(text).unwrap();
        whole["metadata"]["managedFields"].as_array_mut().unwrap().remove(1);
        assert_eq!(seen.object.unpack(), whole);
        assert_eq!(
            (seen.owners.label, seen.is_going),
            (Some(Unit::Project(ProjectName::parse("shop").unwrap())), true)
        );
        assert!(seen.owners.appliers.is_empty());
    }

    #[test]
    fn of_a_pod_its_node_and_its_volumes_are_kept_and_the_items_of_lists_get_their_kind() {
        let resource = Resource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            kind: "Pod".into(),
            namespaced: true,
        };
        let text = r#"{"metadata":{"name":"a-0","labels":{"claude-manager.io/project":"a"},"managedFields":[]},"spec":{"nodeName":"m","volumes":[],"containers":[]},"status":{"phase":"Running"}}"#;
        let kept = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a-0", "labels": {"claude-manager.io/project": "a"}},
            "spec": {"nodeName": "m", "volumes": []}, "status": {"phase": "Running"}});
        assert_eq!(seen(text, Some(&resource)).object.unpack(), kept);
    }

    const OURS: &str = r#"{"manager":"claude-manager/a","operation":"Apply"}"#;

    #[test]
    fn only_a_status_and_who_wrote_it_have_no_part_in_what_is_wanted() {
        let prints = |version: &str, managers: &str, labels: &str, more: &str| {
            let text = format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"a","resourceVersion":"{version}","managedFields":[{OURS}{managers}],"labels":{labels}}},{more}}}"#
            );
            seen(&text, None).prints
        };
        let plain = prints("1", "", "{}", r#""spec":{}"#);
        assert_eq!(plain, prints("1", "", "{}", r#""spec":{}"#));
        for same in [
            prints("2", "", "{}", r#""spec":{}"#),
            prints("1", r#",{"manager":"x"}"#, "{}", r#""spec":{}"#),
            prints("1", "", "{}", r#""spec":{},"status":{}"#),
        ] {
            assert_eq!(same.wanted, plain.wanted);
            assert_ne!(same.whole, plain.whole);
        }
        for other in [
            prints("1", "", r#"{"a":"b"}"#, r#""spec":{}"#),
            prints("1", "", "{}", r#""spec":{"a":1}"#),
            prints("1", "", "{}", r#""data":{}"#),
        ] {
            assert_ne!(other.wanted, plain.wanted);
        }
    }
}
