//! `images`: names, tags and digests of container images, wherever `containers` and `initContainers` stand.

use std::sync::LazyLock;

use regex::Regex;

use crate::BuildError;
use crate::collection::Collection;
use crate::config::Specs;
use crate::field::{Field, Place};
use crate::field_spec::{self, Create};
use crate::pattern::{PatternError, compile, is_plain};
use crate::yaml::{Kind, Node};

use super::FieldError;

/// One entry of `images`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    name: String,
    new_name: String,
    new_tag: String,
    tag_suffix: String,
    digest: String,
    place: Place,
}

impl Image {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut image = Self { place: entry.place(), ..Self::default() };
        for (key, field) in entry.fields(&["name", "newName", "newTag", "tagSuffix", "digest"])? {
            let text = field.string()?;
            match key {
                "name" => image.name = text,
                "newName" => image.new_name = text,
                "newTag" => image.new_tag = text,
                "tagSuffix" => image.tag_suffix = text,
                _ => image.digest = text,
            }
        }
        Ok(image)
    }
}

/// What may follow the name: a tag and a digest.
const REST: &str = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?$";
static REST_ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("^{REST}")).ok());

/// Which images are meant. Stock kustomize takes the name for a regular expression; names with dots rely on it by accident.
/// For plain names none has to be compiled.
enum Pattern {
    Name(String, &'static Regex),
    Expression(Regex),
}

impl Pattern {
    fn new(name: &str) -> Result<Self, PatternError> {
        match &*REST_ALONE {
            Some(rest) if is_plain(name) => Ok(Self::Name(name.to_owned(), rest)),
            Some(_) | None => compile(&format!("^{name}{REST}")).map(Self::Expression),
        }
    }

    fn matches(&self, image: &str) -> bool {
        match self {
            Self::Name(name, rest) => image.strip_prefix(name.as_str()).is_some_and(|after| rest.is_match(after)),
            Self::Expression(regex) => regex.is_match(image),
        }
    }
}

/// An image in some fields, beside those of containers.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) image: Image,
    pub(crate) specs: Specs,
}

impl Change {
    pub(crate) fn run(&self, objects: &mut Collection) -> Result<(), BuildError> {
        let image = &self.image;
        let pattern = Pattern::new(&image.name).map_err(|error| image.place.error(error))?;
        objects.change(|resource| {
            if resource.kind() == "CustomResourceDefinition" {
                return Ok(());
            }
            in_containers(&mut resource.node, &mut |node| update(node, &pattern, image))
                .map_err(|error| resource.error(error))?;
            for spec in self.specs.iter() {
                if !field_spec::is_about(spec, resource) {
                    continue;
                }
                let mut write = |node: &mut Node| update(node, &pattern, image);
                field_spec::visit_object(resource, spec, Create::Nothing, &mut write)
                    .map_err(|error| resource.error(error))?;
            }
            Ok(())
        })
    }
}

/// Visits the `image` of each item of `containers` and `initContainers` at any depth.
fn in_containers(
    node: &mut Node,
    update: &mut impl FnMut(&mut Node) -> Result<(), FieldError>,
) -> Result<(), FieldError> {
    match &mut node.kind {
        Kind::Scalar(_) => Ok(()),
        Kind::Sequence(items) => items.iter_mut().try_for_each(|item| in_containers(item, update)),
        Kind::Mapping(pairs) => {
            for (key, value) in pairs {
                in_containers(value, update)?;
                if !matches!(key.text(), Some("containers" | "initContainers")) {
                    continue;
                }
                let Kind::Sequence(items) = &mut value.kind else { continue };
                for item in items.iter_mut().filter(|item| !item.is_null()) {
                    if item.pairs().is_none() {
                        return Err(FieldError::Container);
                    }
                    item.get_mut("image").map_or(Ok(()), &mut *update)?;
                }
            }
            Ok(())
        }
    }
}

fn update(node: &mut Node, pattern: &Pattern, image: &Image) -> Result<(), FieldError> {
    let Kind::Scalar(text) = &node.kind else { return Err(FieldError::NotText("an image")) };
    if !pattern.matches(text) {
        return Ok(());
    }
    let (name, mut tag, mut digest) = split(text);
    let mut new = if image.new_name.is_empty() { name.to_owned() } else { image.new_name.clone() };
    let suffixed = format!("{tag}{}", image.tag_suffix);
    if !image.new_tag.is_empty() || !image.digest.is_empty() {
        (tag, digest) = (&image.new_tag, &image.digest);
    } else if !image.tag_suffix.is_empty() {
        (tag, digest) = (&suffixed, "");
    }
    if !tag.is_empty() {
        new = format!("{new}:{tag}");
    }
    if !digest.is_empty() {
        new = format!("{new}@{digest}");
    }
    *node = node.with_text(new);
    Ok(())
}

/// Name, tag and digest; a colon before the first slash belongs to the name.
fn split(image: &str) -> (&str, &str, &str) {
    let (rest, digest) = image.split_once('@').unwrap_or((image, ""));
    let start = rest.find('/').unwrap_or(0);
    match rest[start..].find(':') {
        Some(colon) => (&rest[..start + colon], &rest[start + colon + 1..], digest),
        None => (rest, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_match_as_the_expression_would() {
        for name in ["nginx", "registry/nginx", "host:5000/nginx", "a", ""] {
            let expression = Regex::new(&format!("^{name}{REST}")).unwrap();
            let pattern = Pattern::new(name).unwrap();
            for rest in ["", ":1.2", ":", "@sha256:12", ":1@sha256:12", "x", "/x", ":1:2", "@", ":1\n"] {
                let image = format!("{name}{rest}");
                assert_eq!(pattern.matches(&image), expression.is_match(&image), "{name:?} and {image:?}");
            }
            assert_eq!(pattern.matches("other"), expression.is_match("other"), "{name:?}");
        }
    }
}
