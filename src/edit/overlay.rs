//! A project's overlay while it is being edited: its text, and that of the patch files it names.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use crate::project::{ChangeSet, Entry, Files, Image, ProjectName, RepoPath};
use kustomize::yaml::edit::{self, Step, path};

use super::patch::{Field, Target};
use super::{EditError, directory, overlay_path, read_text, unplaced};

/// The name that the base gives the image, for overlays to replace.
const IMAGE: &str = "claude-dev-env";
/// The name of the StatefulSet and of the ConfigMap in the base.
const MAIN: &str = "env";

/// The files of one project, some of them edited.
pub(super) struct Overlay<'f> {
    files: &'f dyn Files,
    file: RepoPath,
    directory: RepoPath,
    text: String,
    /// Patch files that were edited.
    others: BTreeMap<RepoPath, String>,
}

/// A patch of the overlay that is about one object.
enum Place {
    Inline(usize),
    File(RepoPath),
}

impl<'f> Overlay<'f> {
    pub(super) fn open(files: &'f dyn Files, name: &ProjectName) -> Result<Self, EditError> {
        let file = overlay_path(name);
        let text = read_text(files, &file)?;
        Ok(Self { files, file, directory: directory(name), text, others: BTreeMap::new() })
    }

    /// What was edited.
    pub(super) fn changes(self) -> Result<ChangeSet, EditError> {
        let mut changes = ChangeSet::default();
        for (file, text) in self.others.into_iter().chain([(self.file, self.text)]) {
            if *self.files.read(&file)? != *text.as_bytes() {
                changes.write(file, text);
            }
        }
        Ok(changes)
    }

    /// The count in `replicas`.
    pub(super) fn replicas(&mut self, count: u32) -> Result<(), EditError> {
        let index = self.named("replicas", MAIN)?;
        self.in_item("replicas", index, MAIN, &[("count", Some(Value::from(count)))])
    }

    /// The image in `images`.
    pub(super) fn image(&mut self, image: &Image) -> Result<(), EditError> {
        let index = self.named("images", IMAGE)?;
        let text = |text: &String| Value::from(text.as_str());
        let fields = [
            ("newName", Some(Value::from(image.name.as_str()))),
            ("newTag", image.tag.as_ref().map(text)),
            ("digest", image.digest.as_ref().map(text)),
        ];
        self.in_item("images", index, IMAGE, &fields)
    }

    /// A line of the environment's settings; `None` takes it away.
    pub(super) fn setting(&mut self, key: &str, value: Option<&str>) -> Result<(), EditError> {
        let line = value.map(|value| Value::from(format!("{key}={value}")));
        let document = self.document()?;
        let Some(generator) = self.named("configMapGenerator", MAIN)? else {
            let Some(line) = line else { return Ok(()) };
            let item = mapping([
                ("name", Value::from(MAIN)),
                ("behavior", Value::from("merge")),
                ("literals", Value::Sequence(vec![line])),
            ]);
            let count = length(document.get("configMapGenerator"));
            return self.edit(|text| edit::insert(text, &path!["configMapGenerator"], count, &item));
        };
        let literals = document.get("configMapGenerator").and_then(|list| list.get(generator)?.get("literals"));
        let items = literals.and_then(Value::as_sequence).map(Vec::as_slice).unwrap_or_default();
        let found = items
            .iter()
            .position(|item| item.as_str().and_then(|text| text.split_once('=')).is_some_and(|(name, _)| name == key));
        let list = path!["configMapGenerator", generator, "literals"];
        let mut at = list.to_vec();
        match (found, line) {
            (Some(index), Some(line)) => {
                at.push(Step::from(index));
                self.edit(|text| edit::set(text, &at, &line))
            }
            (Some(index), None) => {
                at.push(Step::from(index));
                self.edit(|text| edit::remove(text, &at))
            }
            (None, Some(line)) => self.edit(|text| edit::insert(text, &list, items.len(), &line)),
            (None, None) => Ok(()),
        }
    }

    /// A field of a patch, where the overlay writes it now or writes its neighbours. The last patch wins, so places are
    /// tried from the end. Gives `false` when there is none.
    pub(super) fn field(&mut self, field: &Field) -> Result<bool, EditError> {
        let places = self.patches(field.target)?;
        let mut best = None;
        for place in &places {
            let Ok(body) = edit::read(&self.body(place)?) else { continue };
            if field.find(&body).is_some() {
                best = Some(place);
                break;
            }
            if best.is_none() && field.value.is_some() && body.is_mapping() {
                best = Some(place);
            }
        }
        match best {
            Some(Place::Inline(index)) => {
                let at = path!["patches", *index, "patch"];
                let Ok(text) = edit::within(&self.text, &at, |inner| field.put(inner)) else { return Ok(false) };
                self.text = text;
            }
            Some(place @ Place::File(file)) => {
                let Ok(text) = field.put(&self.body(place)?) else { return Ok(false) };
                self.others.insert(file.clone(), text);
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    /// A patch of its own for a field, behind all others.
    pub(super) fn add_patch(&mut self, field: &Field) -> Result<(), EditError> {
        let count = length(self.document()?.get("patches"));
        self.edit(|text| edit::insert(text, &path!["patches"], count, &field.patch()))
    }

    fn document(&self) -> Result<Value, EditError> {
        edit::read(&self.text).map_err(|error| unplaced(&self.file, &error))
    }

    fn edit(&mut self, edit: impl FnOnce(&str) -> Result<String, edit::EditError>) -> Result<(), EditError> {
        self.text = edit(&self.text).map_err(|error| unplaced(&self.file, &error))?;
        Ok(())
    }

    /// Which item of the list `field` has the name `name`.
    fn named(&self, field: &str, name: &str) -> Result<Option<usize>, EditError> {
        let document = self.document()?;
        let items = match document.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Sequence(items)) => items,
            Some(_) => return Err(EditError::conflict(&self.file, format!("{field} is no list"))),
        };
        let mut found =
            (0..items.len()).filter(|index| items[*index].get("name").and_then(Value::as_str) == Some(name));
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(EditError::conflict(&self.file, format!("{field} has {name} twice; keep one of them"))),
        }
    }

    /// Sets and removes keys of an item, or makes the item.
    fn in_item(
        &mut self,
        field: &str,
        index: Option<usize>,
        name: &str,
        fields: &[(&str, Option<Value>)],
    ) -> Result<(), EditError> {
        let document = self.document()?;
        let Some(index) = index else {
            let mut item = Mapping::from_iter([(Value::from("name"), Value::from(name))]);
            item.extend(fields.iter().filter_map(|(key, value)| Some((Value::from(*key), value.clone()?))));
            let count = length(document.get(field));
            return self.edit(|text| edit::insert(text, &path![field], count, &Value::Mapping(item)));
        };
        for (key, value) in fields {
            let at = path![field, index, *key];
            let there = document.get(field).and_then(|list| list.get(index)?.get(key)).is_some();
            match value {
                Some(value) => self.edit(|text| edit::set(text, &at, value))?,
                None if there => self.edit(|text| edit::remove(text, &at))?,
                None => {}
            }
        }
        Ok(())
    }

    /// The patches that are clearly about `target` and nothing else, from the last to the first.
    fn patches(&self, target: Target) -> Result<Vec<Place>, EditError> {
        let document = self.document()?;
        let Some(patches) = document.get("patches").and_then(Value::as_sequence) else { return Ok(Vec::new()) };
        let mut places = Vec::new();
        for (index, patch) in patches.iter().enumerate().rev() {
            let place = match (patch.get("patch").and_then(Value::as_str), patch.get("path").and_then(Value::as_str)) {
                (Some(_), None) => Place::Inline(index),
                (None, Some(file)) => match self.directory.join(file) {
                    // A file outside the folder may belong to other projects, too.
                    Ok(file) if file.is_within(&self.directory) && self.files.entry(&file)? == Entry::File => {
                        Place::File(file)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            let Ok(body) = edit::read(&self.body(&place)?) else { continue };
            if is_about(target, patch.get("target"), &body) {
                places.push(place);
            }
        }
        Ok(places)
    }

    fn body(&self, place: &Place) -> Result<String, EditError> {
        match place {
            Place::Inline(index) => {
                let document = self.document()?;
                let patch = document.get("patches").and_then(|list| list.get(*index)?.get("patch")?.as_str());
                Ok(patch.unwrap_or_default().to_owned())
            }
            Place::File(file) => match self.others.get(file) {
                Some(text) => Ok(text.clone()),
                None => read_text(self.files, file),
            },
        }
    }
}

/// Whether a patch with this target and body changes `target` alone.
fn is_about(target: Target, selector: Option<&Value>, body: &Value) -> bool {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    if !body.is_mapping() || body.get("$patch").is_some() {
        return false;
    }
    match selector {
        Some(Value::Mapping(selector)) => {
            let known = ["group", "version", "kind", "name"];
            selector.keys().all(|key| key.as_str().is_some_and(|key| known.contains(&key)))
                && text(selector.get("kind")).as_deref() == Some(target.kind)
                && text(selector.get("name")).as_deref() == Some(target.name)
        }
        _ => {
            text(body.get("kind")).as_deref() == Some(target.kind)
                && text(body.get("metadata").and_then(|metadata| metadata.get("name"))).as_deref() == Some(target.name)
        }
    }
}

fn length(list: Option<&Value>) -> usize {
    list.and_then(Value::as_sequence).map_or(0, Vec::len)
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(Mapping::from_iter(entries.map(|(key, value)| (Value::from(key), value))))
}
