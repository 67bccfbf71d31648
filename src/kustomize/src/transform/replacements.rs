//! `replacements`: the value of one field, written to fields of other objects.

mod live;

use live::Live;

use crate::BuildError;
use crate::aliased_values;
use crate::collection::Collection;
use crate::field::{Field, Place};
use crate::id::Gvk;
use crate::patch::{Selector, Target};
use crate::resource::Resource;
use crate::suggest::nearest;
use crate::yaml::{self, Kind, Node, Repeats};

use super::path::{self, FieldPathError, Made};
use super::{Context, structured};

const DEFAULT_PATH: &str = "metadata.name";
/// How much an object may grow: a value that holds its target doubles it each time.
const MAX_NODES: usize = 1_000_000;
/// The longest text after a replacement of a part.
const MAX_TEXT: usize = 16 << 20;

/// Why a value cannot be taken from a field, or written to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ReplacementError {
    #[error(transparent)]
    Path(#[from] FieldPathError),
    #[error("there is nothing")]
    NoValue,
    #[error("there is no such field")]
    NoField,
    #[error("a delimiter is for plain text only")]
    NotText,
    #[error("{text:?} has no part {index}")]
    NoPart { text: String, index: i64 },
    #[error("the text would be longer than {MAX_TEXT} bytes")]
    TextTooLong,
    #[error("more than {MAX_NODES} values would be written")]
    TooManyValues,
    #[error("the object would have more than {MAX_NODES} values or {} levels", 2 * yaml::MAX_DEPTH)]
    ObjectTooLarge,
}

/// One entry of `replacements`: itself, or the file that holds it or a list of such.
#[derive(Clone, Debug)]
pub(crate) enum Replacements {
    Inline(Replacement),
    File(String, Place),
}

#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    source: Source,
    targets: Vec<TargetFields>,
}

#[derive(Clone, Debug)]
enum Source {
    Value(String),
    Field(Box<SourceField>),
}

/// The one object and the field that a value comes from.
#[derive(Clone, Debug)]
struct SourceField {
    gvk: Gvk,
    name: String,
    namespace: String,
    path: String,
    options: Options,
    place: Place,
}

/// The objects and fields that a value goes to.
#[derive(Clone, Debug)]
struct TargetFields {
    select: Target,
    reject: Vec<Target>,
    paths: Vec<String>,
    options: Options,
    place: Place,
}

#[derive(Clone, Debug, Default)]
struct Options {
    delimiter: String,
    index: i64,
    create: bool,
}

impl Replacements {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let fields = entry.fields(&["path", "source", "sourceValue", "targets"])?;
        let path = fields.iter().find(|(name, field)| *name == "path" && !field.node.is_empty());
        match path {
            Some((_, field)) if fields.iter().all(|(name, _)| matches!(*name, "path" | "sourceValue")) => {
                Ok(Self::File(field.string()?, field.place()))
            }
            Some(_) => Err(entry.error("must not have both a path and a replacement of its own")),
            None => Replacement::of_fields(entry, fields).map(Self::Inline),
        }
    }
}

impl Replacements {
    /// Where this stands, when it takes its value from an object. A file is not looked into.
    pub(crate) fn reads_objects(&self) -> Option<Place> {
        match self {
            Self::Inline(Replacement { source: Source::Field(field), .. }) => Some(field.place.clone()),
            Self::Inline(Replacement { source: Source::Value(_), .. }) => None,
            Self::File(_, place) => Some(place.clone()),
        }
    }
}

impl Replacement {
    fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        Self::of_fields(entry, entry.fields(&["source", "sourceValue", "targets"])?)
    }

    fn of_fields(entry: &Field<'_>, fields: Vec<(&'static str, Field<'_>)>) -> Result<Self, BuildError> {
        let (mut source, mut value, mut targets) = (None, None, Vec::new());
        for (name, field) in fields {
            match name {
                "source" => source = Some(read_source(&field)?),
                "sourceValue" => value = Some(Source::Value(field.string()?)),
                "targets" => targets = field.each(TargetFields::read)?,
                _ => {}
            }
        }
        let source = match (source, value) {
            (Some(source), None) | (None, Some(source)) => source,
            (None, None) => return Err(entry.error("needs a source or a sourceValue")),
            (Some(_), Some(_)) => return Err(entry.error("must not have both a source and a sourceValue")),
        };
        if targets.is_empty() {
            return Err(entry.error("needs at least one target"));
        }
        Ok(Self { source, targets })
    }
}

fn read_source(entry: &Field<'_>) -> Result<Source, BuildError> {
    let (mut gvk, mut options) = (Gvk::default(), Options::default());
    let [mut name, mut namespace, mut path] = [const { String::new() }; 3];
    for (key, field) in entry.fields(&["group", "version", "kind", "name", "namespace", "fieldPath", "options"])? {
        match key {
            "group" => gvk.group = field.string()?,
            "version" => gvk.version = field.string()?,
            "kind" => gvk.kind = field.string()?,
            "name" => name = field.string()?,
            "namespace" => namespace = field.string()?,
            "fieldPath" => path = field.string()?,
            _ => options = Options::read(&field)?,
        }
    }
    if path.is_empty() {
        DEFAULT_PATH.clone_into(&mut path);
    }
    Ok(Source::Field(Box::new(SourceField { gvk, name, namespace, path, options, place: entry.place() })))
}

impl TargetFields {
    fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let (mut select, mut reject, mut paths, mut options) = (None, Vec::new(), Vec::new(), Options::default());
        for (name, field) in entry.fields(&["select", "reject", "fieldPaths", "options"])? {
            match name {
                "select" => select = Some(Target::read(&field)?),
                "reject" => {
                    let read = |item: &Field<'_>| match item.node.is_null() {
                        true => Err(item.error("is empty; say what is rejected")),
                        false => Target::read(item),
                    };
                    reject = field.each(read)?;
                }
                "fieldPaths" => paths = field.strings()?.into_iter().map(|(path, _)| path).collect(),
                _ => options = Options::read(&field)?,
            }
        }
        let Some(select) = select else { return Err(entry.error("needs a select")) };
        if paths.is_empty() {
            paths.push(DEFAULT_PATH.to_owned());
        }
        Ok(Self { select, reject, paths, options, place: entry.place() })
    }
}

impl Options {
    fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut options = Self::default();
        for (name, field) in entry.fields(&["delimiter", "index", "create", "encoding"])? {
            match name {
                "delimiter" => options.delimiter = field.string()?,
                "index" => options.index = field.integer()?,
                "create" => options.create = field.boolean()?,
                // Stock kustomize reads this, and does nothing with it.
                _ => drop(field.string()?),
            }
        }
        Ok(options)
    }
}

/// Carries out all entries, in order.
pub(crate) fn run(context: &Context<'_>, list: &[Replacements], objects: &mut Collection) -> Result<(), BuildError> {
    for entry in list {
        match entry {
            Replacements::Inline(replacement) => replacement.run(context, objects)?,
            Replacements::File(path, place) => {
                for replacement in load(context, path, place)? {
                    replacement.run(context, objects)?;
                }
            }
        }
    }
    // A name may have been replaced.
    objects.index_all();
    Ok(())
}

fn load(context: &Context<'_>, path: &str, place: &Place) -> Result<Vec<Replacement>, BuildError> {
    let path = context.loader.file(context.directory, path, place)?;
    let Some(document) = context.loader.first_document(&path, Repeats::LastCounts, place)? else {
        return Err(place.error(format!("{path} is empty")));
    };
    let root = Field::lenient(&path, &document, context.loader.warnings());
    match document.kind {
        Kind::Sequence(_) => root.each(Replacement::read),
        Kind::Mapping(_) => Ok(vec![Replacement::read(&root)?]),
        Kind::Scalar(_) => Err(place.error(format!("{path} must hold a replacement or a list of them"))),
    }
}

impl Replacement {
    fn run(&self, context: &Context<'_>, objects: &mut Collection) -> Result<(), BuildError> {
        let mut value = match &self.source {
            // In a part the object may be missing that the whole has. What is left out here is done in the whole.
            Source::Field(_) if context.lenient => return Ok(()),
            Source::Field(field) => field.value(objects)?,
            Source::Value(text) => Live::fixed(Node::plain(text.as_str())),
        };
        self.targets.iter().try_for_each(|target| target.run(&mut value, objects))
    }
}

impl SourceField {
    fn value(&self, objects: &mut Collection) -> Result<Live, BuildError> {
        let Self { path, options, place, .. } = self;
        let object = self.object(objects)?;
        let id = objects.get_mut(object).id();
        let fail = |error: ReplacementError| place.error(format!("{path} of {id}: {error}"));
        let found = Live::of(objects, object, &path::split(path)).map_err(|error| fail(error.into()))?;
        // An empty text is a value; an empty collection is none.
        let found = found.filter(|found| match found.value().kind {
            Kind::Scalar(_) => !found.value().is_null(),
            Kind::Sequence(_) | Kind::Mapping(_) => !found.value().is_empty(),
        });
        let Some(found) = found else { return Err(fail(ReplacementError::NoValue)) };
        if options.delimiter.is_empty() {
            return Ok(found);
        }
        options.part_of(found.value()).map(Live::fixed).map_err(fail)
    }

    /// The one object that is meant.
    fn object(&self, objects: &Collection) -> Result<usize, BuildError> {
        let Self { gvk, name, namespace, place, .. } = self;
        let effective =
            |namespace: &str| if namespace.is_empty() { "default".to_owned() } else { namespace.to_owned() };
        let mut found = objects.iter().enumerate().filter(|(_, resource)| {
            ids(resource).iter().any(|(id, id_name, id_namespace)| {
                (name.is_empty() || name == id_name)
                    && (namespace.is_empty() || effective(namespace) == effective(id_namespace))
                    && id.is_selected(gvk)
            })
        });
        let Some((at, resource)) = found.next() else {
            let mut error = place.error(format!("no object is {} {name}", gvk.kind).replace("  ", " "));
            let of_kind = objects.iter().filter(|resource| resource.gvk().is_selected(gvk));
            error.hint = nearest(name, of_kind.map(Resource::name)).map(|near| format!("did you mean {near}?"));
            return Err(error);
        };
        if let Some((_, other)) = found.next() {
            let message = format!("{} and {} are both meant", resource.id(), other.id());
            return Err(place.error_with_hint(message, "add what tells them apart: group, version, kind, namespace"));
        }
        Ok(at)
    }
}

/// The identities of now and of before: the namespace of now is as it is written.
fn ids(resource: &Resource) -> Vec<(Gvk, String, String)> {
    let mut ids = vec![(resource.gvk(), resource.name().to_owned(), resource.namespace().to_owned())];
    ids.extend(resource.previous_ids().map(|id| (id.gvk, id.name, id.namespace)));
    ids
}

impl Options {
    /// The part of a source that is meant.
    fn part_of(&self, value: &Node) -> Result<Node, ReplacementError> {
        if self.delimiter.is_empty() {
            return Ok(value.clone());
        }
        let Kind::Scalar(text) = &value.kind else { return Err(ReplacementError::NotText) };
        let mut parts = text.split(&self.delimiter);
        let part = usize::try_from(self.index).ok().and_then(|index| parts.nth(index));
        let Some(part) = part else {
            return Err(ReplacementError::NoPart { text: text.clone(), index: self.index });
        };
        Ok(Node { kind: Kind::Scalar(part.to_owned()), ..value.clone().pinned() })
    }

    /// Writes to a field, or to a part of it.
    fn write(&self, field: &mut Node, value: &Node) -> Result<(), ReplacementError> {
        let text = value.text().unwrap_or_default();
        let joined = if self.delimiter.is_empty() {
            None
        } else {
            let Kind::Scalar(old) = &field.kind else { return Err(ReplacementError::NotText) };
            let mut parts: Vec<&str> = old.split(&self.delimiter).collect();
            match usize::try_from(self.index) {
                Err(_) => parts.insert(0, text),
                Ok(index) if index >= parts.len() => parts.push(text),
                Ok(index) => parts[index] = text,
            }
            let joined = parts.join(&self.delimiter);
            if joined.len() > MAX_TEXT {
                return Err(ReplacementError::TextTooLong);
            }
            Some(joined)
        };
        match (&mut field.kind, joined) {
            (Kind::Scalar(_), joined) => {
                // The type of the field stays: a number becomes a string where a string was, and the other way round.
                let pinned = std::mem::replace(field, Node::plain("")).pinned();
                *field = Node { kind: Kind::Scalar(joined.unwrap_or_else(|| text.to_owned())), ..pinned };
            }
            // As deep as the field was made; what is put there was written elsewhere.
            (Kind::Sequence(_) | Kind::Mapping(_), _) => *field = value.clone(),
        }
        Ok(())
    }
}

impl TargetFields {
    fn run(&self, value: &mut Live, objects: &mut Collection) -> Result<(), BuildError> {
        let select = Selector::new(&self.select)?;
        let reject = self.reject.iter().map(Selector::new).collect::<Result<Vec<_>, _>>()?;
        let paths: Vec<(&String, Vec<String>)> = self.paths.iter().map(|path| (path, path::split(path))).collect();
        let mut next = 0;
        objects.change(|resource| {
            let object = next;
            next += 1;
            let ids = ids(resource);
            let takes =
                |selector: &Selector| ids.iter().any(|(gvk, name, namespace)| selector.takes_id(gvk, name, namespace));
            let rejected = reject.iter().any(|selector| {
                (selector.has_meta() && selector.takes_meta(resource)) || (selector.has_id() && takes(selector))
            });
            if rejected || !select.takes_meta(resource) || !takes(&select) {
                return Ok(());
            }
            for (path, parts) in &paths {
                self.write(object, resource, parts, value).map_err(|error| {
                    let mut error = self.place.error(format!("{path} of {}: {error}", resource.id()));
                    error.hint = near_field(&resource.node, parts).map(|near| format!("did you mean {near}?"));
                    error
                })?;
            }
            Ok(())
        })
    }

    fn write(
        &self,
        object: usize,
        resource: &mut Resource,
        parts: &[String],
        value: &mut Live,
    ) -> Result<(), ReplacementError> {
        path::check_length(parts)?;
        let make = self.options.create.then(|| Made::like(value.value()));
        let is_own = value.is_in(object);
        let mut put = Put { options: &self.options, changed: Vec::new(), nodes: 0 };
        let inside = &mut |_: &[usize], field: &mut Node| put.write(field, value.value());
        if parts.len() > 1 && structured::set(&mut resource.node, parts, make, inside) {
            if is_own {
                value.refresh(resource);
            }
            return Ok(());
        }
        let of_notes = matches!(parts, [metadata] if metadata == "metadata")
            || matches!(parts, [metadata, annotations] if metadata == "metadata" && annotations == "annotations");
        if of_notes && resource.has_notes() {
            resource.make_annotations();
        }
        let mut ways = Vec::new();
        let mut found = |way: &[usize], field: &mut Node| {
            // Where the value itself may change, fields are written one after the other.
            if is_own {
                ways.push(way.to_vec());
                return Ok(());
            }
            put.write(field, value.value())
        };
        if path::visit(&mut resource.node, parts, make, &mut found)? == 0 {
            return Err(ReplacementError::NoField);
        }
        for way in ways {
            value.refresh(resource);
            value.will_write(&way);
            if let Some(field) = path::at_mut(&mut resource.node, &way) {
                put.write(field, value.value())?;
            }
        }
        aliased_values::spread(&mut resource.node, &put.changed);
        if of_notes {
            resource.adopt_notes(value.notes());
        }
        if is_own {
            value.refresh(resource);
        }
        let (nodes, depth) = resource.node.extent();
        if nodes > MAX_NODES || depth > 2 * yaml::MAX_DEPTH {
            return Err(ReplacementError::ObjectTooLarge);
        }
        Ok(())
    }
}

/// Puts a value into fields, one after the other.
struct Put<'a> {
    options: &'a Options,
    /// The fields that may stand in several places.
    changed: Vec<Node>,
    /// How much was written.
    nodes: usize,
}

impl Put<'_> {
    fn write(&mut self, field: &mut Node, value: &Node) -> Result<(), ReplacementError> {
        self.nodes += value.extent().0;
        if self.nodes > MAX_NODES {
            return Err(ReplacementError::TooManyValues);
        }
        self.options.write(field, value)?;
        self.changed.extend(aliased_values::is_shared(field).then(|| field.clone()));
        Ok(())
    }
}

/// The name that is like the first part of a path that is not there.
fn near_field(node: &Node, parts: &[String]) -> Option<String> {
    let known = (0..parts.len()).rev().find_map(|at| {
        let found = path::get(node, &parts[..at]).ok().flatten()?;
        found.pairs().map(|pairs| (at, pairs))
    });
    let (at, pairs) = known?;
    nearest(parts.get(at)?, pairs.iter().filter_map(|(key, _)| key.text())).map(str::to_owned)
}
