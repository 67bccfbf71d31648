//! The run of a build: resources, generators, components and transformers of each directory, inner ones first; then,
//! once, what needs all objects: hashes, references, order.

use std::sync::Arc;

use serde_json::Value;

use crate::project::{Entry, Files, ObjectKey, RepoPath};
use crate::yaml::{Kind, Node};

use super::collection::Collection;
use super::config::Config;
use super::field::{Field, Place};
use super::kustomization::{self, Kustomization};
use super::load::{self, Loader};
use super::order::{self, Sort};
use super::origin::{self, Metadata, Origin};
use super::plugin::{self, Made};
use super::resource::Resource;
use super::schema::Schema;
use super::transform::{Context, Transformer};
use super::vars::Vars;
use super::{Build, BuildError, Object, Options, crds, hash, references, tables};

/// The longest chain of directories that build on one another.
const MAX_CHAIN: usize = 64;

/// Objects with this annotation (unless `"false"`) are for tools, and left out of the output.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

/// The label by which a validator says what it has seen. Nothing else may be changed by one.
const VALIDATED_BY: &str = "validated-by";

/// Annotations that say something about a build, and leave with it.
const BUILD_ANNOTATIONS: [&str; 10] = [
    "alpha.config.kubernetes.io/transformations",
    "config.k8s.io/id",
    "config.kubernetes.io/index",
    "config.kubernetes.io/origin",
    "config.kubernetes.io/path",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/seqindent",
];

/// What of the top directory is built.
pub(super) struct Part<'a> {
    pub(super) keep: &'a dyn Fn(&RepoPath) -> bool,
    pub(super) generators: bool,
}

pub(super) fn run(
    files: &dyn Files,
    directory: &RepoPath,
    options: &Options,
    part: Option<&Part<'_>>,
) -> Result<Build, BuildError> {
    let loader = Loader::new(files, options.restrictions);
    let top = loader.kustomization(directory, None)?;
    let mut run = Run {
        loader: &loader,
        warnings: Vec::new(),
        chain: Vec::new(),
        top: directory.clone(),
        follows: top.metadata.follows(),
        types: None,
        types_used: false,
    };
    let Accumulated { mut objects, config, vars } = run.accumulate(directory, &top, Accumulated::default(), part)?;
    if part.is_some() {
        vars.refuse_in_part()?;
    }
    hash::add_to_names(&mut objects)?;
    references::update(&mut objects, &config)?;
    run.warnings.extend(vars.resolve(&config, &mut objects)?);
    let mut list: Vec<Resource> = objects.into_list();
    if let Some(nameless) = list.iter().find(|it| it.name().is_empty() && !it.kind().ends_with("List")) {
        return Err(nameless.error("has no name any more; a patch or a replacement has taken it away"));
    }
    list.retain(|resource| !is_local(resource));
    match (&top.sort, options.sorted) {
        (Some(sort), _) => order::sort(&mut list, Some(sort.checked()?)),
        (None, true) => order::sort(&mut list, None),
        (None, false) => order::sort(&mut list, Some(&Sort::Fifo)),
    }
    let objects = list.iter_mut().map(|resource| finish(resource, &top.metadata)).collect::<Result<_, _>>()?;
    let mut warnings = run.warnings;
    warnings.append(&mut loader.warnings().borrow_mut());
    Ok(Build { objects, inputs: loader.into_inputs(), warnings })
}

/// The paths of the top directory's resources.
pub(super) fn resources(files: &dyn Files, directory: &RepoPath) -> Result<Vec<RepoPath>, BuildError> {
    let loader = Loader::new(files, super::Restrictions::RootOnly);
    let top = loader.kustomization(directory, None)?;
    top.resources.iter().map(|(text, place)| Ok(loader.resolve(directory, text, place)?.0)).collect()
}

/// The objects of a directory, and what it adds for those that build on it.
#[derive(Default)]
struct Accumulated {
    objects: Collection,
    config: Arc<Config>,
    vars: Vars,
}

struct Run<'a> {
    loader: &'a Loader<'a>,
    warnings: Vec<String>,
    /// The directories that are being built, outermost first.
    chain: Vec<RepoPath>,
    top: RepoPath,
    /// Whether origins are followed.
    follows: bool,
    /// The types that an `openapi` field gives; the first counts, and from there on.
    types: Option<Arc<Schema>>,
    /// Whether the types of Kubernetes have been asked for already, which keeps them beside those of a later field.
    types_used: bool,
}

impl Run<'_> {
    /// Everything that the kustomization of `directory` says, done to what is given: that of the caller for a component,
    /// nothing for others.
    fn accumulate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        given: Accumulated,
        part: Option<&Part<'_>>,
    ) -> Result<Accumulated, BuildError> {
        self.chain.push(directory.clone());
        self.warnings.extend(kustomization.warnings.iter().cloned());
        self.warnings.extend(kustomization.metadata.unknown.iter().cloned());
        self.read_types(directory, kustomization)?;
        let mut it = self.resources(directory, &kustomization.resources, given, part)?;
        let config = self.config(directory, kustomization)?;
        it.config = merged(&it.config, &config, &kustomization.place)?;
        for (text, place) in &kustomization.crds {
            let more = crds::load(self.loader, directory, text, place)?;
            it.config = merged(&it.config, &more, place)?;
        }
        if part.is_none_or(|part| part.generators) {
            self.generate(directory, kustomization, &mut it.objects)?;
        }
        for (text, place) in &kustomization.components {
            let (path, entry) = self.loader.resolve(directory, text, place)?;
            if entry == Entry::File {
                return Err(place.error(format!("{path} is a file; a component is a directory")));
            }
            let component = self.enter(&path, place, true)?;
            it = self.accumulate(&path, &component, it, None)?;
        }
        self.transform(directory, kustomization, &mut it, part.is_some())?;
        self.validate(directory, kustomization, &mut it)?;
        it.vars.add(&kustomization.vars, &mut it.objects)?;
        self.chain.pop();
        Ok(it)
    }

    /// Adds the objects of files and of directories.
    fn resources(
        &mut self,
        directory: &RepoPath,
        entries: &[kustomization::Entry],
        mut it: Accumulated,
        part: Option<&Part<'_>>,
    ) -> Result<Accumulated, BuildError> {
        for (text, place) in entries {
            // A part is resolved by text before anything is looked at, so that it costs what it holds.
            if let Some(part) = part
                && directory.join(text).is_ok_and(|path| !(part.keep)(&path))
            {
                continue;
            }
            match self.loader.resolve(directory, text, place)? {
                (_, Entry::File) => {
                    let path = self.loader.file(directory, text, place)?;
                    let documents = self.loader.documents(&path, place)?;
                    for mut resource in resources_of(documents.iter().cloned(), &path)? {
                        if self.follows {
                            resource.origin = Some(Origin::of_file(origin::relative(&self.top, &path)));
                        }
                        let known = tables::schema().kind(resource.api_version(), resource.kind()).is_some();
                        self.types_used |= !known;
                        it.objects.append(resource)?;
                    }
                }
                (path, _) => {
                    let inner = self.enter(&path, place, false)?;
                    let made = self.accumulate(&path, &inner, Accumulated::default(), None)?;
                    it.objects.append_all(made.objects)?;
                    it.config = merged(&it.config, &made.config, place)?;
                    it.vars.merge(made.vars)?;
                }
            }
        }
        Ok(it)
    }

    fn enter(&self, path: &RepoPath, place: &Place, component: bool) -> Result<Arc<Kustomization>, BuildError> {
        if let Some(visited) = self.chain.iter().find(|visited| visited.is_within(path)) {
            return Err(place.error_with_hint(
                format!("{path} is or holds {visited}, which is being built"),
                "a kustomization cannot build on itself or on a directory around it",
            ));
        }
        if self.chain.len() >= MAX_CHAIN {
            return Err(place.error(format!("more than {MAX_CHAIN} kustomizations build on one another")));
        }
        let kustomization = self.loader.kustomization(path, Some(place))?;
        match (component, kustomization.component) {
            (true, false) => Err(place.error_with_hint(
                format!("{path} is no component"),
                "list it under resources, or give it kind: Component",
            )),
            (false, true) => Err(place.error_with_hint(format!("{path} is a component"), "list it under components")),
            _ => Ok(kustomization),
        }
    }

    /// The default fields, with what the files under `configurations` add.
    fn config(&self, directory: &RepoPath, kustomization: &Kustomization) -> Result<Arc<Config>, BuildError> {
        let mut own = Arc::new(Config::default());
        for (text, place) in &kustomization.configurations {
            let path = self.loader.file(directory, text, place)?;
            let documents = self.loader.documents(&path, place)?;
            if let Some(document) = documents.first() {
                own = merged(&own, &Arc::new(Config::read(&Field::root(&path, document))?), place)?;
            }
        }
        merged(&Config::default_fields(), &own, &kustomization.place)
    }

    fn read_types(&mut self, directory: &RepoPath, kustomization: &Kustomization) -> Result<(), BuildError> {
        let Some((text, place)) = &kustomization.openapi else { return Ok(()) };
        let path = self.loader.file(directory, text, place)?;
        if self.types.is_some() {
            return Ok(());
        }
        let documents = self.loader.documents(&path, place)?;
        let mut types = if self.types_used { tables::schema().clone() } else { Schema::default() };
        for document in documents.iter().take(1) {
            let value = document.to_json().map_err(|(_, message)| place.error(format!("{path}: {message}")))?;
            types.add_document(&value).map_err(|message| place.error(format!("{path} {message}")))?;
        }
        self.types = Some(Arc::new(types));
        Ok(())
    }

    fn generate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        let file = self.follows.then(|| origin::relative(&self.top, &kustomization.place.file));
        let options = &kustomization.generator_options;
        for (list, kind) in
            [(&kustomization.config_maps, "ConfigMapGenerator"), (&kustomization.secrets, "SecretGenerator")]
        {
            for generator in list {
                self.warnings.extend(generator.warning.clone());
                let origin = file.as_ref().map(|file| Origin::builtin(file.clone(), kind));
                generator.run(self.loader, directory, options, origin, objects)?;
            }
        }
        for document in self.plugins(directory, kustomization, &kustomization.generators)? {
            let origin = Origin::plugin(&document);
            match plugin::generator(&document, self.loader)? {
                Made::Generator(generator) => {
                    generator.run(self.loader, directory, &Default::default(), origin, objects)?;
                }
                Made::Policy(policy) => objects.append(policy.make(&document.place.file, origin)?)?,
            }
        }
        Ok(())
    }

    /// The documents of a list of plugins: each entry is a document itself, a file, or a directory that builds to some.
    fn plugins(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        entries: &[kustomization::Entry],
    ) -> Result<Vec<Resource>, BuildError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut it = Accumulated::default();
        let mut paths = Vec::new();
        for (text, place) in entries {
            let Some(documents) = load::inline_objects(text, place) else {
                paths.push((text.clone(), place.clone()));
                continue;
            };
            for mut resource in resources_of(documents, &place.file)? {
                // Lines inside the text count from its start, so they would mislead.
                resource.place = place.clone();
                if self.follows {
                    let file = origin::relative(&self.top, &kustomization.place.file);
                    resource.origin = Some(Origin::of_file(file));
                }
                it.objects.append(resource)?;
            }
        }
        Ok(self.resources(directory, &paths, it, None)?.objects.into_list())
    }

    fn transform(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        it: &mut Accumulated,
        lenient: bool,
    ) -> Result<(), BuildError> {
        let mut steps: Vec<(Transformer, Option<Origin>)> = Vec::new();
        let file = self.follows.then(|| origin::relative(&self.top, &kustomization.place.file));
        for transformer in Transformer::of_fields(kustomization, &it.config)? {
            let origin = file.as_ref().map(|file| Origin::builtin(file.clone(), transformer.kind()));
            steps.push((transformer, origin));
        }
        for document in self.plugins(directory, kustomization, &kustomization.transformers)? {
            let origin = Origin::plugin(&document);
            // A document that stands for two transformers is noted once, when both have run.
            let mut both = plugin::transformers(&document, directory, self.loader)?;
            let last = both.pop();
            steps.extend(both.into_iter().map(|transformer| (transformer, None)));
            steps.extend(last.map(|transformer| (transformer, origin)));
        }
        let context = self.context(directory, lenient);
        for (transformer, origin) in &steps {
            transformer.run(&context, &mut it.objects)?;
            if let Some(origin) = origin {
                it.objects.change(|resource| {
                    origin::note(resource, origin);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn context<'a>(&'a mut self, directory: &'a RepoPath, lenient: bool) -> Context<'a> {
        let types = match &self.types {
            Some(types) => Arc::clone(types),
            None => tables::shared_schema(),
        };
        Context { loader: self.loader, directory, lenient, types }
    }

    /// Validators run as transformers do, and may change nothing but a label that says so.
    fn validate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        it: &mut Accumulated,
    ) -> Result<(), BuildError> {
        for document in self.plugins(directory, kustomization, &kustomization.validators)? {
            let before: Vec<Node> = it.objects.iter().map(|resource| resource.node.clone()).collect();
            for transformer in plugin::transformers(&document, directory, self.loader)? {
                transformer.run(&self.context(directory, false), &mut it.objects)?;
            }
            let same = it.objects.iter().len() == before.len()
                && it.objects.iter().zip(&before).all(|(after, before)| {
                    let mut after = after.clone();
                    let mut labels = after.meta_map("labels");
                    if labels.remove(VALIDATED_BY).is_some() {
                        after.set_meta_map("labels", &labels);
                    }
                    after.node.to_json() == before.to_json()
                });
            if !same {
                return Err(document.place.error("has changed objects, which a validator must not do"));
            }
        }
        Ok(())
    }
}

fn merged(first: &Arc<Config>, second: &Arc<Config>, place: &Place) -> Result<Arc<Config>, BuildError> {
    Config::merged(first, second).map_err(|conflict| place.error(conflict.to_string()))
}

/// The objects of a file; lists are taken apart.
///
/// # Errors
/// For documents that are no objects.
pub(super) fn resources_of(
    documents: impl IntoIterator<Item = Node>,
    file: &RepoPath,
) -> Result<Vec<Resource>, BuildError> {
    let mut queue: std::collections::VecDeque<Node> = documents.into_iter().collect();
    let mut resources = Vec::new();
    while let Some(mut node) = queue.pop_front() {
        if node.is_empty() {
            continue;
        }
        let place = Place { file: file.clone(), line: node.mark.line, field: String::new() };
        let Kind::Mapping(_) = node.kind else {
            return Err(place.error("is no Kubernetes object: a mapping is expected"));
        };
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        if kind.is_empty() {
            return Err(place.error_with_hint("is no Kubernetes object: it has no kind", "add apiVersion and kind"));
        }
        if kind.ends_with("List") {
            match node.remove("items") {
                Some(Node { kind: Kind::Sequence(items), .. }) => {
                    queue.extend(items);
                    continue;
                }
                Some(items) if items.is_null() => continue,
                Some(_) => return Err(place.error("has items that are no list")),
                None => {}
            }
        }
        let resource = Resource::new(node, file);
        if resource.name().is_empty() && !resource.kind().ends_with("List") {
            return Err(place.error(format!("the {} has no metadata.name", resource.kind())));
        }
        if let Some(name) = resource.meta_map("annotations").keys().find(|name| is_note(name)) {
            let hint = "remove it; nobody but kustomize itself writes it";
            return Err(place.error_with_hint(format!("has the annotation {name}, a note of a running build"), hint));
        }
        resources.push(resource);
    }
    Ok(resources)
}

fn is_local(resource: &Resource) -> bool {
    resource.meta_map("annotations").get(LOCAL_CONFIG).is_some_and(|value| value != "false")
}

/// The object as it goes out: annotations of the build are gone and all others are strings.
fn finish(resource: &mut Resource, metadata: &Metadata) -> Result<Object, BuildError> {
    if resource.node.at(&["metadata", "annotations"]).is_some() {
        let mut annotations = resource.meta_map("annotations");
        annotations.retain(|name, _| !BUILD_ANNOTATIONS.contains(&name.as_str()));
        if annotations.contains_key("") {
            return Err(resource.error("has an annotation without a name"));
        }
        resource.set_meta_map("annotations", &annotations);
    }
    origin::write(resource, metadata);
    let value = resource.node.to_json().map_err(|(mark, message)| {
        let line = if mark.line > 0 { mark.line } else { resource.place.line };
        Place { line, ..resource.place.clone() }.error(message)
    })?;
    let gvk = resource.gvk();
    let namespace = Some(resource.namespace()).filter(|name| !name.is_empty() && !gvk.is_cluster_scoped());
    let key = ObjectKey {
        namespace: namespace.map(str::to_owned),
        name: resource.name().to_owned(),
        group: gvk.group,
        kind: gvk.kind,
    };
    let value = match value {
        Value::Object(_) => value,
        _ => return Err(resource.place.error("is no Kubernetes object after all patches")),
    };
    Ok(Object { key, api_version: resource.api_version().to_owned(), value })
}

/// Notes that stock kustomize keeps in annotations while it builds, and that would change what it does.
const NOTES: [&str; 11] = [
    "allowKindChange",
    "allowNameChange",
    "generatorBehavior",
    "helm-generated",
    "needsHashSuffix",
    "prefixes",
    "previousKinds",
    "previousNames",
    "previousNamespaces",
    "refBy",
    "suffixes",
];

fn is_note(annotation: &str) -> bool {
    annotation.strip_prefix("internal.config.kubernetes.io/").is_some_and(|name| NOTES.contains(&name))
}
