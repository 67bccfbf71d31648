//! YAML as Kubernetes tools read and write it.
//!
//! [`read`] gives documents as trees of [`Node`]s that keep the text, style and place of everything; [`Node::to_json`]
//! resolves them as `kubectl` and `kustomize` do (booleans are `true` and `false`, integers may be octal, a timestamp
//! is a string); [`emit`] writes a value in the exact form of `kustomize build`; [`edit`] changes a value in a text.
//!
//! Pure. Hostile input gives an error: nesting is limited to [`MAX_DEPTH`], and all that aliases expand to is limited to
//! [`MAX_NODES`].

mod compat;
pub mod edit;
mod emit;
mod node;
mod read;
mod scalar;
mod tabs;

pub use emit::{emit, emit_to, fits_single_quotes, float_text, in_quotes, natural_order, without_type};
pub use node::{JsonError, JsonFault, Kind, Mark, Node, Style, Tag};
pub use read::{MAX_DEPTH, MAX_NODES, MAX_VALUES, ReadError, Repeats, read, read_first, read_one};
pub use scalar::{float_to_json, is_old_boolean, stays_block};

#[cfg(test)]
mod tests;
