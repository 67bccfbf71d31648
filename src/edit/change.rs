//! A change of some fields: each goes where the overlay has it; the result is rendered and must be what was wanted.

use crate::project::{
    ChangeSet, Files, Image, Overlaid, ProjectChange, ProjectName, ProjectSpec, SUSPENDED_ANNOTATION, Unit,
    layout::secrets_path,
};
use kustomize::Memo;

use super::check::Checks;
use super::create::reference;
use super::overlay::Overlay;
use super::patch::Field;
use super::{EditError, current, exists, must_exist, overlay_path};

pub(super) fn change(
    files: &dyn Files,
    name: &ProjectName,
    change: &ProjectChange,
    secrets: Option<Vec<u8>>,
    memo: &Memo,
) -> Result<ChangeSet, EditError> {
    must_exist(files, name)?;
    let before = current(files, name, memo)?;
    check(change, &before)?;
    let mut changes = edit_to(files, &before, &wanted(change, &before), change.image.as_ref(), memo)?;
    if let Some(secrets) = secrets {
        let path = secrets_path(&Unit::Project(name.clone()));
        match exists(files, &path)? {
            true if secrets.is_empty() => changes.remove(path),
            true if *files.read(&path)? == *secrets => {}
            false if secrets.is_empty() => {}
            _ => changes.write(path, secrets),
        }
    }
    Ok(changes)
}

fn check(change: &ProjectChange, before: &ProjectSpec) -> Result<(), EditError> {
    let mut checks = Checks::default();
    if let Some(name) = &change.name {
        checks.name(name);
    }
    if let Some(Some(branch)) = &change.git_branch {
        checks.branch(branch);
    }
    if let Some(Some(ticket)) = &change.jira_issue {
        checks.ticket(ticket);
    }
    if let Some(Some(why)) = &change.suspended {
        checks.suspended(why);
    }
    checks.resources(&change.resources);
    if let Some(size) = &change.workspace_size {
        checks.size("storage.size", size);
        if let Some(old) = before.storage.size.as_ref().filter(|old| size < *old) {
            checks.fail("storage.size", format!("must be at least {old}: a volume cannot shrink"));
        }
    }
    checks.done()
}

/// The project as it is to be. What compares equal keeps its old text.
fn wanted(change: &ProjectChange, before: &ProjectSpec) -> ProjectSpec {
    let mut spec = before.clone();
    if let Some(name) = &change.name {
        spec.name.clone_from(name);
    }
    if let Some(url) = &change.git_repository {
        url.as_str().clone_into(&mut spec.git_repository);
    }
    if let Some(branch) = &change.git_branch {
        spec.git_branch.clone_from(branch);
    }
    if let Some(image) = &change.image {
        spec.image = reference(image);
    }
    for (new, old) in [
        (&change.resources.cpu, &mut spec.resources.cpu),
        (&change.resources.memory, &mut spec.resources.memory),
        (&change.workspace_size, &mut spec.storage.size),
    ] {
        if new.is_some() && new != old {
            old.clone_from(new);
        }
    }
    if let Some(ticket) = &change.jira_issue {
        spec.jira_issue.clone_from(ticket);
    }
    if let Some(why) = &change.suspended {
        spec.suspended.clone_from(why);
    }
    spec
}

/// Edits the overlay from `before` to `wanted`; `image` is the wanted image in parts.
///
/// The first try puts each value where the overlay writes it. Where that is not possible, or the result does not read
/// as wanted (another patch may have the last word), the second gives each value a patch of its own, behind all others.
pub(super) fn edit_to(
    files: &dyn Files,
    before: &ProjectSpec,
    wanted: &ProjectSpec,
    image: Option<&Image>,
    memo: &Memo,
) -> Result<ChangeSet, EditError> {
    if before == wanted {
        return Ok(ChangeSet::default());
    }
    let name = &before.short_name;
    let mut failure = None;
    for in_place in [true, false] {
        let changes = attempt(files, before, wanted, image, in_place)?;
        match current(&Overlaid { base: files, changes: &changes }, name, memo) {
            Ok(after) if after == *wanted => return Ok(changes),
            Ok(after) => {
                let fields = differences(&after, wanted).join(", ");
                let reason = format!(
                    "the place that decides {fields} was not found in this overlay; change it in the file and push it"
                );
                failure = Some(EditError::conflict(&overlay_path(name), reason));
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| EditError::conflict(&overlay_path(name), "the overlay could not be edited")))
}

fn attempt(
    files: &dyn Files,
    before: &ProjectSpec,
    wanted: &ProjectSpec,
    image: Option<&Image>,
    in_place: bool,
) -> Result<ChangeSet, EditError> {
    let mut overlay = Overlay::open(files, &before.short_name)?;
    if before.replicas != wanted.replicas {
        overlay.replicas(wanted.replicas)?;
    }
    if let Some(image) = image.filter(|_| before.image != wanted.image) {
        overlay.image(image)?;
    }
    if before.git_repository != wanted.git_repository {
        overlay.setting("GIT_REPOSITORY", Some(&wanted.git_repository))?;
    }
    if before.git_branch != wanted.git_branch {
        overlay.setting("GIT_BRANCH", wanted.git_branch.as_deref())?;
    }
    for field in fields(before, wanted) {
        if !(in_place && overlay.field(&field)?) {
            overlay.add_patch(&field)?;
        }
    }
    overlay.changes()
}

/// The fields that patches hold and that differ.
fn fields(before: &ProjectSpec, wanted: &ProjectSpec) -> Vec<Field> {
    let mut fields = Vec::new();
    if before.name != wanted.name {
        fields.push(Field::annotation("claude-manager.io/display-name", Some(wanted.name.clone())));
    }
    if before.jira_issue != wanted.jira_issue {
        fields.push(Field::annotation("claude-manager.io/jira-issue", wanted.jira_issue.clone()));
    }
    if before.suspended != wanted.suspended {
        fields.push(Field::annotation(SUSPENDED_ANNOTATION, wanted.suspended.clone()));
    }
    for (what, old, new) in [
        ("cpu", &before.resources.cpu, &wanted.resources.cpu),
        ("memory", &before.resources.memory, &wanted.resources.memory),
    ] {
        if let Some(amount) = new.as_ref().filter(|_| old != new) {
            // Limits of the same size as the requests.
            fields.push(Field::resource("requests", what, amount.as_str()));
            fields.push(Field::resource("limits", what, amount.as_str()));
        }
    }
    if let Some(size) = wanted.storage.size.as_ref().filter(|_| before.storage.size != wanted.storage.size) {
        fields.push(Field::workspace_size(size.as_str()));
    }
    fields
}

/// The names of the fields in which two projects differ, as the API has them.
pub(super) fn differences(a: &ProjectSpec, b: &ProjectSpec) -> Vec<&'static str> {
    [
        ("name", a.name == b.name),
        ("gitRepository", a.git_repository == b.git_repository),
        ("gitBranch", a.git_branch == b.git_branch),
        ("replicas", a.replicas == b.replicas),
        ("resources", a.resources == b.resources),
        ("storage", a.storage == b.storage),
        ("image", a.image == b.image),
        ("jiraIssue", a.jira_issue == b.jira_issue),
        ("suspended", a.suspended == b.suspended),
        ("createdAt", a.created_at == b.created_at),
    ]
    .into_iter()
    .filter_map(|(name, same)| (!same).then_some(name))
    .collect()
}
