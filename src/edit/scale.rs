//! Start and stop: the count of the overlay's `replicas`.

use crate::project::{ChangeSet, Files, ProjectName};
use kustomize::Memo;

use super::change::edit_to;
use super::{EditError, current, must_exist};

pub(super) fn start(files: &dyn Files, name: &ProjectName, memo: &Memo) -> Result<ChangeSet, EditError> {
    scale(files, name, memo, |replicas| replicas.max(1))
}

pub(super) fn stop(files: &dyn Files, name: &ProjectName, memo: &Memo) -> Result<ChangeSet, EditError> {
    scale(files, name, memo, |_| 0)
}

fn scale(files: &dyn Files, name: &ProjectName, memo: &Memo, to: impl Fn(u32) -> u32) -> Result<ChangeSet, EditError> {
    must_exist(files, name)?;
    let before = current(files, name, memo)?;
    let mut wanted = before.clone();
    wanted.replicas = to(before.replicas);
    edit_to(files, &before, &wanted, None, memo)
}
