//! Writes: server-side apply, patches, deletions; with the ownership of fields.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::errors::{self, Refusal};
use super::fields::FieldSet;
use super::merge::{merge, prune};
use super::schema::{Schema, Type};
use super::state::{Id, State};
use super::{controllers, defaults, now, uid, validate};

/// Who writes, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) manager: String,
    pub(super) force: bool,
    pub(super) dry_run: bool,
}

/// An answer with its HTTP status.
pub(super) type WriteAnswer = Result<(u16, Arc<Value>), Refusal>;

/// Server-side apply.
pub(super) fn apply(state: &mut State, schema: &Schema, id: &Id, mut applied: Value, options: &Options) -> WriteAnswer {
    if options.manager.is_empty() {
        return Err(Refusal::options("fieldManager", "Required value: is required for apply patch"));
    }
    identify(id, &mut applied)?;
    let ty = Type::named(id.resource.kind);
    let problems = schema.problems(&ty, &applied);
    if !problems.is_empty() {
        let list = match problems.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        return Err(Refusal::unfit(&format!("failed to create typed patch object ({}): {list}", description(id))));
    }
    let now_owned = FieldSet::of_applied(schema, &ty, &applied);
    schema.normalize(&ty, &mut applied);
    let old = state.get(id).cloned();
    let none = Value::Null;
    let live = old.as_deref().unwrap_or(&none);
    let mut managers = Managers::of(live);
    let before = managers.applied_by(&options.manager);

    let mut object = merge(schema, &ty, live, &applied);
    let changed = FieldSet::of_difference(schema, &ty, live, &object);
    managers.yield_to(&options.manager, &changed, options.force)?;
    let others = managers.others(&options.manager);
    let kept: Vec<&FieldSet> = std::iter::once(&now_owned).chain(others.iter()).collect();
    prune(schema, &ty, &mut object, &before, &kept);
    managers.set_applied(&options.manager, &applied["apiVersion"], now_owned);
    finish(state, schema, id, old, object, managers, options)
}

/// A JSON patch or merge patch: whatever it changes, the writer owns.
pub(super) fn patch(
    state: &mut State,
    schema: &Schema,
    id: &Id,
    options: &Options,
    change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
) -> WriteAnswer {
    let Some(old) = state.get(id).cloned() else { return Err(Refusal::not_found(id.resource, &id.name)) };
    let mut object = (*old).clone();
    change(&mut object)?;
    if object["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
        return Err(Refusal::changed(id.resource, &id.name));
    }
    identify(id, &mut object)?;
    let ty = Type::named(id.resource.kind);
    if let Some(problem) = schema.problems(&ty, &object).first() {
        return Err(Refusal::bad_request(&format!(
            "{} in version \"v1\" cannot be handled: {problem}",
            id.resource.kind
        )));
    }
    schema.normalize(&ty, &mut object);
    // A patch of the ownership itself is taken as it is.
    let mut managers = Managers::of(&object);
    let changed = FieldSet::of_difference(schema, &ty, &without_bookkeeping(&old), &without_bookkeeping(&object));
    let manager = if options.manager.is_empty() { "unknown" } else { &options.manager };
    let existing = FieldSet::of_applied(schema, &ty, &object);
    managers.updated_by(manager, &object["apiVersion"], &changed, &existing);
    finish(state, schema, id, Some(old), object, managers, options)
}

/// Deletes, if the object is the one that is meant.
pub(super) fn delete(state: &mut State, id: &Id, body: &Value, dry_run: bool) -> WriteAnswer {
    let Some(live) = state.get(id).cloned() else { return Err(Refusal::not_found(id.resource, &id.name)) };
    let found = live["metadata"]["uid"].as_str().unwrap_or_default();
    if let Some(wanted) = body["preconditions"]["uid"].as_str()
        && wanted != found
    {
        return Err(Refusal::precondition(id.resource, &id.name, wanted, found));
    }
    if let Some(wanted) = body["preconditions"]["resourceVersion"].as_str()
        && live["metadata"]["resourceVersion"] != wanted
    {
        return Err(Refusal::changed(id.resource, &id.name));
    }
    let mut last = Arc::clone(&live);
    if !dry_run {
        if let Some(gone) = controllers::delete(state, id, body["propagationPolicy"] == "Orphan")? {
            last = gone;
        }
        controllers::settle(state, [id.clone()])?;
    }
    if id.resource.returns_deleted {
        return Ok((200, last));
    }
    Ok((200, Arc::new(errors::deleted(id.resource, &id.name, &live["metadata"]["uid"]))))
}

/// Fills in, checks, and makes the object the current one, unless nothing changed.
fn finish(
    state: &mut State,
    schema: &Schema,
    id: &Id,
    old: Option<Arc<Value>>,
    mut object: Value,
    managers: Managers,
    options: &Options,
) -> WriteAnswer {
    let ty = Type::named(id.resource.kind);
    bookkeeping(id, old.as_deref(), &mut object);
    defaults::fill(id.resource, &mut object);
    schema.normalize(&ty, &mut object);
    drop_empty(schema, &ty, &mut object);
    validate::check(id.resource, &id.name, old.as_deref(), &object)?;
    if id.resource.generation {
        let generation = match &old {
            None => 1,
            Some(old) => old["metadata"]["generation"].as_u64().unwrap_or(1) + u64::from(old["spec"] != object["spec"]),
        };
        object["metadata"]["generation"] = generation.into();
    }
    managers.write(&mut object);
    let code = if old.is_some() { 200 } else { 201 };
    if let Some(old) = old
        && without_times(&old) == without_times(&object)
    {
        return Ok((code, old));
    }
    if options.dry_run {
        return Ok((code, Arc::new(object)));
    }
    let stored = state.put(id, object)?;
    controllers::settle(state, [id.clone()])?;
    Ok((code, stored))
}

/// The body has to be about the object in the path.
fn identify(id: &Id, object: &mut Value) -> Result<(), Refusal> {
    let (api_version, kind) =
        (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    if api_version != id.resource.api_version() || kind != id.resource.kind {
        let group_version = if api_version.contains('/') { api_version.to_owned() } else { format!("/{api_version}") };
        return Err(Refusal::bad_request(&format!("invalid object type: {group_version}, Kind={kind}")));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name != id.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", id.name);
        return Err(Refusal::bad_request(&message));
    }
    if id.resource.namespaced {
        if object["metadata"]["namespace"].as_str().is_some_and(|namespace| namespace != id.namespace) {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Refusal::bad_request(message));
        }
        object["metadata"]["namespace"] = id.namespace.clone().into();
    }
    Ok(())
}

/// What only the server writes is as it was, or new.
fn bookkeeping(id: &Id, old: Option<&Value>, object: &mut Value) {
    let new = json!({"uid": uid(), "creationTimestamp": now()});
    let known = old.map_or(&new, |old| &old["metadata"]);
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "selfLink",
    ] {
        let metadata = object["metadata"].as_object_mut();
        match known.get(field) {
            Some(value) => object["metadata"][field] = value.clone(),
            None => {
                metadata.map(|metadata| metadata.remove(field));
            }
        }
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(status) = old.and_then(|old| old.get("status")) {
            fields.insert("status".to_owned(), status.clone());
        } else if id.resource.kind == "StatefulSet" {
            fields.insert("status".to_owned(), json!({"replicas": 0, "availableReplicas": 0}));
        }
    }
}

/// Who owns what of an object.
struct Managers(Vec<Entry>);

struct Entry {
    manager: String,
    operation: String,
    fields: FieldSet,
    /// The whole entry, for what is not looked at here.
    json: Value,
}

impl Managers {
    fn of(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self(
            entries
                .map(|json| Entry {
                    manager: text(&json["manager"]),
                    operation: text(&json["operation"]),
                    fields: FieldSet::from_json(&json["fieldsV1"]),
                    json: json.clone(),
                })
                .collect(),
        )
    }

    fn is_apply(entry: &Entry, manager: &str) -> bool {
        entry.manager == manager && entry.operation == "Apply"
    }

    fn applied_by(&self, manager: &str) -> FieldSet {
        self.0.iter().find(|entry| Self::is_apply(entry, manager)).map(|entry| entry.fields.clone()).unwrap_or_default()
    }

    fn others(&self, manager: &str) -> Vec<FieldSet> {
        self.0.iter().filter(|entry| !Self::is_apply(entry, manager)).map(|entry| entry.fields.clone()).collect()
    }

    /// Fields that `manager` gives another value are taken from their owners, by force or not at all.
    fn yield_to(&mut self, manager: &str, changed: &FieldSet, force: bool) -> Result<(), Refusal> {
        let mut conflicts = Vec::new();
        for entry in self.0.iter_mut().filter(|entry| !Self::is_apply(entry, manager)) {
            let contested = changed.common(&entry.fields);
            if force {
                entry.fields.remove(changed);
            } else {
                let owner = match entry.operation.as_str() {
                    "Apply" => format!("\"{}\"", entry.manager),
                    _ => {
                        let version = entry.json["apiVersion"].as_str().unwrap_or_default();
                        format!("\"{}\" using {version}", entry.manager)
                    }
                };
                conflicts.extend(contested.into_iter().map(|path| (owner.clone(), path)));
            }
        }
        if conflicts.is_empty() { Ok(()) } else { Err(Refusal::owned(&conflicts)) }
    }

    fn set_applied(&mut self, manager: &str, api_version: &Value, fields: FieldSet) {
        self.set(manager, "Apply", api_version, fields);
    }

    fn updated_by(&mut self, manager: &str, api_version: &Value, changed: &FieldSet, existing: &FieldSet) {
        if changed.is_empty() {
            return;
        }
        let mut own = FieldSet::default();
        for entry in &mut self.0 {
            if entry.manager == manager && entry.operation == "Update" {
                own = entry.fields.clone();
            } else {
                entry.fields.remove(changed);
            }
        }
        own.unite(changed);
        own.retain(existing);
        self.set(manager, "Update", api_version, own);
    }

    fn set(&mut self, manager: &str, operation: &str, api_version: &Value, fields: FieldSet) {
        let same = |entry: &&mut Entry| entry.manager == manager && entry.operation == operation;
        if let Some(entry) = self.0.iter_mut().find(same) {
            entry.fields = fields;
            entry.json["apiVersion"] = api_version.clone();
            return;
        }
        let json =
            json!({"manager": manager, "operation": operation, "apiVersion": api_version, "fieldsType": "FieldsV1"});
        self.0.push(Entry { manager: manager.to_owned(), operation: operation.to_owned(), fields, json });
    }

    fn write(self, object: &mut Value) {
        let mut entries: Vec<Value> = Vec::new();
        for entry in self.0 {
            if entry.fields.is_empty() {
                continue;
            }
            let mut json = entry.json;
            let fields = entry.fields.to_json();
            if json["fieldsV1"] != fields || json["time"].is_null() {
                json["time"] = now().into();
            }
            json["fieldsV1"] = fields;
            entries.push(json);
        }
        let rank = |entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (text("operation"), text("time"), text("manager"))
        };
        entries.sort_by_key(rank);
        object["metadata"]["managedFields"] = Value::Array(entries);
    }
}

/// An object with the server's own notes left out, which nobody owns.
fn without_bookkeeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(field);
        }
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

/// When somebody last owned something is no change by itself.
fn without_times(object: &Value) -> Value {
    let mut object = object.clone();
    for entry in object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("time");
        }
    }
    object
}

/// Empty maps and lists are not stored; empty structs are.
fn drop_empty(schema: &Schema, ty: &Type, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let entries = std::mem::take(fields);
            for (key, mut value) in entries {
                let inner = schema.below(ty, &key).unwrap_or(Type::Any);
                drop_empty(schema, &inner, &mut value);
                let empty = match &inner {
                    Type::Map { .. } => value.as_object().is_some_and(Map::is_empty),
                    Type::List { .. } => value.as_array().is_some_and(Vec::is_empty),
                    _ => false,
                };
                if !empty {
                    fields.insert(key, value);
                }
            }
        }
        Value::Array(items) => {
            if let Type::List { item, .. } = ty {
                items.iter_mut().for_each(|value| drop_empty(schema, item, value));
            }
        }
        _ => {}
    }
}

fn description(id: &Id) -> String {
    format!("{}/{}; {}/{}, Kind={}", id.namespace, id.name, id.resource.group, id.resource.version, id.resource.kind)
}
