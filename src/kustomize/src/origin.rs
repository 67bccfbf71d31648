//! `buildMetadata`: notes in annotations and labels about where an object comes from and what has changed it.

use crate::RepoPath;
use crate::yaml::Node;

use super::BuildError;
use super::field::Field;
use super::resource::Resource;

/// The annotation that says where an object comes from.
pub(super) const ORIGIN: &str = "config.kubernetes.io/origin";
/// The annotation that lists what has changed it.
pub(super) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kustomize-v5.8.2");

/// Which notes are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    pub(super) origins: bool,
    pub(super) transformations: bool,
    pub(super) managed_by: bool,
    /// Whether any word stands there, even one that means nothing: patches see the notes then, shown in the end or not.
    any: bool,
    /// Words that mean nothing.
    pub(super) unknown: Vec<String>,
}

impl Metadata {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, BuildError> {
        let mut metadata = Self::default();
        for (word, place) in field.strings()? {
            metadata.any = true;
            match word.as_str() {
                "originAnnotations" => metadata.origins = true,
                "transformerAnnotations" => metadata.transformations = true,
                "managedByLabel" => metadata.managed_by = true,
                _ => metadata.unknown.push(format!(
                    "{}:{}: {}: {word:?} has no effect; there are originAnnotations, transformerAnnotations and \
                     managedByLabel",
                    place.file, place.line, place.field
                )),
            }
        }
        Ok(metadata)
    }

    /// Whether origins have to be followed.
    pub(super) fn follows(&self) -> bool {
        self.any
    }
}

/// Where an object, a generator or a transformer comes from. Paths begin at the directory that is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) path: String,
    /// The file that holds the generator or transformer.
    pub(super) configured_in: String,
    /// `apiVersion`, kind, name and namespace of the generator or transformer.
    pub(super) configured_by: Option<[String; 4]>,
}

impl Origin {
    pub(super) fn of_file(path: String) -> Self {
        Self { path, ..Self::default() }
    }

    /// Of a field of a kustomization.
    pub(super) fn builtin(file: String, kind: &str) -> Self {
        let configured_by = Some(["builtin".to_owned(), kind.to_owned(), String::new(), String::new()]);
        Self { path: String::new(), configured_in: file, configured_by }
    }

    /// Of a document under `generators` or `transformers`.
    pub(super) fn plugin(document: &Resource) -> Option<Self> {
        let origin = document.origin.as_ref()?;
        let text = |text: &str| text.to_owned();
        let configured_by = Some([
            text(document.api_version()),
            text(document.kind()),
            text(document.name()),
            text(document.namespace()),
        ]);
        Some(Self { path: String::new(), configured_in: origin.path.clone(), configured_by })
    }

    /// The text of the note.
    pub(super) fn text(&self) -> String {
        self.lines().concat()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut add = |indent: &str, key: &str, value: &str| {
            if !value.is_empty() {
                let value = crate::yaml::emit(&serde_json::Value::String(value.to_owned()));
                lines.push(format!("{indent}{key}: {}\n", value.trim_end()));
            }
        };
        add("", "path", &self.path);
        add("", "configuredIn", &self.configured_in);
        if let Some([api_version, kind, name, namespace]) = &self.configured_by {
            lines.push("configuredBy:\n".to_owned());
            let mut add = |key: &str, value: &str| {
                if !value.is_empty() {
                    let value = crate::yaml::emit(&serde_json::Value::String(value.to_owned()));
                    lines.push(format!("  {key}: {}\n", value.trim_end()));
                }
            };
            add("apiVersion", api_version);
            add("kind", kind);
            add("name", name);
            add("namespace", namespace);
        }
        lines
    }
}

/// The path of `path` as seen from `top`.
pub(super) fn relative(top: &RepoPath, path: &RepoPath) -> String {
    let parts = |path: &RepoPath| -> Vec<String> {
        path.as_str().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (top, path) = (parts(top), parts(path));
    let common = top.iter().zip(&path).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", top.len() - common);
    let text: Vec<&str> = up.chain(path[common..].iter().map(String::as_str)).collect();
    text.join("/")
}

/// Notes that a transformer has run. An object without an origin has been made by it.
pub(super) fn note(resource: &mut Resource, by: &Origin) {
    if resource.origin.is_none() {
        resource.origin = Some(by.clone());
    } else {
        resource.transformations.push(by.clone());
    }
}

/// Writes the notes that are wanted.
pub(super) fn write(resource: &mut Resource, wanted: &Metadata) {
    if wanted.managed_by {
        let labels = resource.node.get_mut("metadata").and_then(|metadata| metadata.get_mut("labels"));
        match labels {
            Some(labels) if labels.pairs().is_some() => labels.set(MANAGED_BY.0, Node::string(MANAGED_BY.1)),
            _ => {
                let mut labels = Node::mapping();
                labels.set(MANAGED_BY.0, Node::string(MANAGED_BY.1));
                resource.set_meta("labels", Some(labels));
            }
        }
    }
    let mut annotations = resource.meta_map("annotations");
    let before = annotations.len();
    if wanted.origins
        && let Some(origin) = &resource.origin
    {
        annotations.insert(ORIGIN.to_owned(), origin.text());
    }
    if wanted.transformations && !resource.transformations.is_empty() {
        annotations.insert(TRANSFORMATIONS.to_owned(), list(&resource.transformations));
    }
    if annotations.len() > before {
        resource.set_meta_map("annotations", &annotations);
    }
}

/// The text of a list of notes.
pub(super) fn list(origins: &[Origin]) -> String {
    let item = |origin: &Origin| -> String {
        let lines = origin.lines();
        lines.iter().enumerate().map(|(at, line)| format!("{}{line}", if at == 0 { "- " } else { "  " })).collect()
    };
    origins.iter().map(item).collect()
}
