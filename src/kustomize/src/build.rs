//! The run of a build: resources, generators, components and transformers of each directory, inner ones first; then,
//! once, what needs all objects: hashes, references, order.

use std::cell::Cell;
use std::sync::Arc;

use crate::yaml::{Node, Repeats};
use crate::{Entry, RepoPath};

use super::collection::Collection;
use super::config::Config;
use super::cross_part_names::{Asked, Names};
use super::field::{Field, Place};
use super::inputs::Inputs;
use super::kustomization::{self, Kustomization};
use super::load::{self, Loader, Parsed, Source};
use super::objects::{drop_local, finish, resources_of};
use super::order::{self, Sort};
use super::origin::{self, Metadata, Origin};
use super::plugin::{self, Made};
use super::prebuild::Start;
use super::resource::Resource;
use super::schema::Schema;
use super::transform::{Context, Transformer};
use super::vars::Vars;
use super::{BuildError, Object, Options, Outline, crds, hash, references, tables, threads};

/// The longest chain of directories that build on one another.
pub(super) const MAX_CHAIN: usize = 64;

/// The label by which a validator says what it has seen. Nothing else may be changed by one.
const VALIDATED_BY: &str = "validated-by";

/// What of the top directory is asked for.
pub(super) struct Part<'a> {
    pub(super) keep: &'a (dyn Fn(&RepoPath) -> bool + Sync),
    pub(super) generators: bool,
    /// Whether there is nothing else: what is missing is an error then, and nothing can reach further.
    pub(super) alone: bool,
}

/// What of the top directory is built.
pub(super) struct Chosen {
    /// The entries, by their place in the list.
    pub(super) entries: Vec<usize>,
    generators: bool,
    alone: bool,
}

impl Chosen {
    /// Entries are chosen by text, before anything is looked at, so that a part costs what it holds.
    fn of(part: &Part<'_>, paths: &[Option<RepoPath>]) -> Self {
        let wanted = |path: &Option<RepoPath>| path.as_ref().is_none_or(part.keep);
        let entries = (0..paths.len()).filter(|at| wanted(&paths[*at])).collect();
        Self { entries, generators: part.generators, alone: part.alone }
    }
}

/// What a build gives before its objects leave it, in the order of the output.
pub(super) struct Whole {
    list: Vec<Resource>,
    metadata: Metadata,
    pub(super) warnings: Vec<String>,
    /// Why this is not what a whole build makes of a part; `None` for a whole, and for a part that is.
    pub(super) together: Option<BuildError>,
    /// Of a part, the names by which it may meet others.
    pub(super) names: Names,
    threads: usize,
}

impl Whole {
    /// For each object, the entry of the top's `resources` that it comes from, counted from 1; 0 for all others.
    pub(super) fn entries(&self) -> Vec<usize> {
        self.list.iter().map(|resource| resource.entry).collect()
    }

    /// Does something with each object as it goes out. Nothing is kept of one that is done, as a whole fleet is large.
    pub(super) fn each<R: Send>(self, work: impl Fn(Object) -> R + Sync) -> Result<Vec<R>, BuildError> {
        let finish = |mut resource: Resource| finish(&mut resource, &self.metadata).map(&work);
        threads::map(self.threads, self.list, finish).into_iter().collect()
    }
}

/// Builds. What was looked at is known also when that fails.
pub(super) fn run(
    source: &Source<'_>,
    directory: &RepoPath,
    options: &Options,
    part: Option<&Part<'_>>,
) -> (Result<Whole, BuildError>, Inputs) {
    let loader = Loader::new(source);
    let mut result = whole(&loader, directory, options, part);
    let mut traces = loader.into_traces();
    let inputs = std::mem::take(&mut traces.inputs);
    if let Ok(whole) = &mut result {
        whole.warnings.extend(traces.warnings());
    }
    (result, inputs)
}

fn whole(
    loader: &Loader<'_>,
    directory: &RepoPath,
    options: &Options,
    part: Option<&Part<'_>>,
) -> Result<Whole, BuildError> {
    let top = loader.kustomization(directory, None)?;
    let threads = options.threads.max(1);
    let start = Start { follows: top.metadata.follows(), threads, ..Start::of(loader.source(), directory) };
    let mut run = start.run(loader);
    let chosen = part.map(|part| Chosen::of(part, top.paths(directory)));
    let chosen = chosen.as_ref();
    let Accumulated { mut objects, config, vars } = run.accumulate(directory, &top, Accumulated::default(), chosen)?;
    let is_part = chosen.is_some_and(|part| !part.alone);
    let asked = is_part.then(Asked::default);
    let together = is_part.then(|| run.together.take().or_else(|| vars.reach_over_parts())).flatten();
    hash::add_to_names(&mut objects)?;
    references::update(&mut objects, &config, threads, asked.as_ref())?;
    let names = asked.map(Asked::names).unwrap_or_default();
    run.warnings.extend(vars.resolve(&config, &mut objects)?);
    if let Some(nameless) = objects.iter().find(|resource| resource.is_nameless()) {
        let other = || nameless.error("has no kind or no name any more; a patch or a replacement has taken it away");
        return Err(nameless.nameless.as_deref().cloned().unwrap_or_else(other));
    }
    drop_local(&mut objects);
    objects.index()?;
    let mut list: Vec<Resource> = objects.into_list();
    match (&top.sort, options.sorted) {
        (Some(sort), _) => order::sort(&mut list, Some(sort.checked()?)),
        (None, true) => order::sort(&mut list, None),
        (None, false) => order::sort(&mut list, Some(&Sort::Fifo)),
    }
    Ok(Whole { list, metadata: top.metadata.clone(), warnings: run.warnings, together, names, threads })
}

/// The paths of the top directory's resources.
pub(super) fn resources(source: &Source<'_>, directory: &RepoPath) -> Result<Vec<RepoPath>, BuildError> {
    let loader = Loader::new(source);
    let top = loader.kustomization(directory, None)?;
    top.resources.iter().map(|(text, place)| Ok(loader.resolve(directory, text, place)?.0)).collect()
}

/// What the top directory says of itself.
pub(super) fn outline(source: &Source<'_>, directory: &RepoPath) -> Result<Outline, BuildError> {
    let top = Loader::new(source).kustomization(directory, None)?;
    let resources =
        top.resources.iter().map(|(text, place)| Loader::path(directory, text, place)).collect::<Result<_, _>>()?;
    Ok(Outline { namespace: top.namespace.as_ref().map(|(name, _)| name.clone()), resources })
}

/// The objects of a directory, and what it adds for those that build on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Accumulated {
    pub(super) objects: Collection,
    pub(super) config: Arc<Config>,
    pub(super) vars: Vars,
}

pub(super) struct Run<'a> {
    pub(super) loader: &'a Loader<'a>,
    pub(super) warnings: Vec<String>,
    /// The directories that are being built, outermost first.
    pub(super) chain: Vec<RepoPath>,
    /// All directories that were built, and the longest chain of them.
    pub(super) directories: Vec<RepoPath>,
    pub(super) deepest: usize,
    pub(super) top: &'a RepoPath,
    /// Whether origins are followed.
    pub(super) follows: bool,
    /// The types that an `openapi` field gives; the first counts, and from there on.
    pub(super) types: Option<Arc<Schema>>,
    /// Whether the types of Kubernetes have been asked for already, in this run or before it, which keeps them beside those
    /// of a later field.
    pub(super) types_used: bool,
    pub(super) types_used_before: bool,
    /// Why what is built here reaches over parts.
    together: Option<BuildError>,
    /// On how many threads entries may be built.
    pub(super) threads: usize,
}

impl<'a> Start<'a> {
    /// A run that reads through `loader`.
    pub(super) fn run(&'a self, loader: &'a Loader<'a>) -> Run<'a> {
        Run {
            loader,
            warnings: Vec::new(),
            chain: self.chain.clone(),
            directories: Vec::new(),
            deepest: self.chain.len(),
            top: self.top,
            follows: self.follows,
            types: self.types.clone(),
            types_used: false,
            types_used_before: self.types_used,
            together: None,
            threads: self.threads,
        }
    }
}

impl<'a> Run<'a> {
    /// Everything that the kustomization of `directory` says, done to what is given: that of the caller for a component,
    /// nothing for others.
    pub(super) fn accumulate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        given: Accumulated,
        part: Option<&Chosen>,
    ) -> Result<Accumulated, BuildError> {
        self.chain.push(directory.clone());
        self.directories.push(directory.clone());
        self.deepest = self.deepest.max(self.chain.len());
        self.warnings.extend(kustomization.warnings.iter().cloned());
        self.warnings.extend(kustomization.metadata.unknown.iter().cloned());
        self.read_types(directory, kustomization)?;
        let types = self.types.clone();
        let mut it = self.resources(directory, &kustomization.resources, given, part)?;
        if part.is_some_and(|part| !part.alone) {
            self.together = kustomization.reaches_over_parts().or_else(|| {
                // What one entry adds holds for those after it, and for all that is done to all of them.
                let other_types = types.as_ref().map(Arc::as_ptr) != self.types.as_ref().map(Arc::as_ptr);
                let message = "a project changes, by `configurations`, `crds` or `openapi`, what is done to all";
                (other_types || !it.config.adds_nothing()).then(|| kustomization.place.error(message))
            });
        }
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
        self.transform(directory, kustomization, &mut it, part.is_some_and(|part| !part.alone))?;
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
        part: Option<&Chosen>,
    ) -> Result<Accumulated, BuildError> {
        let is_top = self.chain.len() == 1;
        let mut ahead = self.ahead(directory, entries, part);
        let all: Vec<usize>;
        let chosen = match part {
            Some(part) => &part.entries,
            None => {
                all = (0..entries.len()).collect();
                &all
            }
        };
        for &at in chosen {
            let (text, place) = &entries[at];
            let before = it.objects.iter().len();
            let ready = ahead.get_mut(at).and_then(Option::take).filter(|apart| self.take(apart));
            let made = match ready {
                Some(apart) => apart.made,
                None => match self.loader.resolve(directory, text, place)? {
                    (_, Entry::File) => {
                        self.file(directory, text, place, &mut it.objects)?;
                        Accumulated::default()
                    }
                    (path, _) => self.directory(&path, place)?,
                },
            };
            it.objects.append_all(made.objects)?;
            it.config = merged(&it.config, &made.config, place)?;
            it.vars.merge(made.vars)?;
            if is_top {
                it.objects.came_from(before, at + 1);
            }
        }
        Ok(it)
    }

    /// Adds the objects of a file.
    fn file(
        &mut self,
        directory: &RepoPath,
        text: &str,
        place: &Place,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        let path = self.loader.file(directory, text, place)?;
        let documents = self.loader.documents(&path, place)?;
        for mut resource in resources_of(documents.iter().cloned(), &path)? {
            if self.follows {
                resource.origin = Some(Origin::of_file(origin::relative(self.top, &path)));
            }
            self.ask_for_type(&resource)?;
            objects.append(resource)?;
        }
        Ok(())
    }

    pub(super) fn enter(&self, path: &RepoPath, place: &Place, component: bool) -> Result<Arc<Parsed>, BuildError> {
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
            if let Some(document) = self.loader.first_document(&path, Repeats::Refused, place)? {
                own = merged(&own, &Arc::new(Config::read(&Field::root(&path, &document))?), place)?;
            }
        }
        merged(&Config::default_fields(), &own, &kustomization.place)
    }

    fn generate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        let file = self.follows.then(|| origin::relative(self.top, &kustomization.place.file));
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
            if load::inline(text, place).is_ok_and(|documents| documents.is_empty()) {
                self.warnings.push(place.error("holds nothing, so it does nothing").to_string());
                continue;
            }
            let Some(documents) = load::inline_objects(text, place)? else {
                paths.push((text.clone(), place.clone()));
                continue;
            };
            for mut resource in resources_of(documents, &place.file)? {
                self.ask_for_type(&resource)?;
                // Lines inside the text count from its start, so they would mislead.
                resource.place = place.clone();
                if self.follows {
                    let file = origin::relative(self.top, &kustomization.place.file);
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
        let file = self.follows.then(|| origin::relative(self.top, &kustomization.place.file));
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
        for (transformer, origin) in &steps {
            let context = self.context(directory, lenient);
            transformer.run(&context, &mut it.objects)?;
            self.types_used |= context.merged.get();
            if let Some(origin) = origin {
                it.objects.change(|resource| {
                    origin::note(resource, origin);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn context<'b>(&self, directory: &'b RepoPath, lenient: bool) -> Context<'b>
    where
        'a: 'b,
    {
        let types = match &self.types {
            Some(types) => Arc::clone(types),
            None => tables::shared_schema(),
        };
        Context { loader: self.loader, directory, lenient, types, merged: Cell::new(false) }
    }

    /// Validators run as transformers do, and may change nothing but a label that says so. What is written counts as a change
    /// even where the same stood before.
    fn validate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        it: &mut Accumulated,
    ) -> Result<(), BuildError> {
        for document in self.plugins(directory, kustomization, &kustomization.validators)? {
            let before: Vec<Node> = it.objects.iter().map(Resource::noted).collect();
            for transformer in plugin::transformers(&document, directory, self.loader)? {
                let context = self.context(directory, false);
                transformer.run(&context, &mut it.objects)?;
                self.types_used |= context.merged.get();
            }
            let same = it.objects.iter().len() == before.len()
                && it.objects.iter().zip(&before).all(|(after, before)| {
                    let mut after = after.clone();
                    let mut labels = after.meta_map("labels");
                    if labels.remove(VALIDATED_BY).is_some() {
                        after.set_meta_map("labels", &labels);
                    }
                    after.noted() == *before
                });
            if !same {
                return Err(document.place.error("has changed objects, which a validator must not do"));
            }
        }
        Ok(())
    }
}

fn merged(first: &Arc<Config>, second: &Arc<Config>, place: &Place) -> Result<Arc<Config>, BuildError> {
    Config::merged(first, second).map_err(|conflict| place.error(conflict))
}
