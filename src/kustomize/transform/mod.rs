//! The transformers, one file each. They change the objects of a collection in place.

pub(super) mod affix;
pub(super) mod images;
pub(super) mod metadata;
pub(super) mod namespace;
pub(super) mod replicas;
