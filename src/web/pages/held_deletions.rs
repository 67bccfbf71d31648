//! Deletions that wait for a person: which projects they take away, and the confirmation that is asked for.
//!
//! A single project is confirmed by its name, several by their number. The plan's own button confirms none of them.

use maud::{Markup, html};

use super::form::Form;
use super::icon::{Glyph, glyph};
use crate::operations::{Planned, Snapshot};
use crate::plan::Operation;
use crate::project::{ProjectName, Reason, Unit};

/// How many projects the card names.
const NAMES: usize = 100;

/// The projects of a plan whose deletion is held, and why it is.
pub(super) struct HeldDeletions {
    names: Vec<ProjectName>,
    why: String,
}

impl HeldDeletions {
    /// Those that applying `planned` would confirm.
    pub(super) fn of(planned: &Planned, snapshot: &Snapshot) -> Self {
        let (mut names, mut why) = (Vec::new(), String::new());
        for plan in &planned.report.plans {
            let Unit::Project(name) = &plan.unit else { continue };
            let deletes = plan.actions.iter().any(|action| matches!(action.operation, Operation::Delete { .. }));
            let Some(project) = snapshot.projects.get(name) else { continue };
            if deletes && project.status.reason == Reason::DeletionHeld {
                names.push(name.clone());
                why.clone_from(&project.status.message);
            }
        }
        Self { names, why }
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What has to be typed.
    fn word(&self) -> String {
        match self.names.as_slice() {
            [one] => one.to_string(),
            several => several.len().to_string(),
        }
    }

    /// What is deleted, as the button says it.
    fn object(&self) -> String {
        match self.names.as_slice() {
            [one] => one.to_string(),
            several => format!("{} projects", several.len()),
        }
    }

    /// Whether the form confirms these deletions.
    pub(super) fn is_confirmed(&self, form: &Form) -> bool {
        self.is_empty() || form.get("confirm").trim() == self.word()
    }

    /// What says that they were not confirmed.
    pub(super) fn refusal(&self) -> String {
        format!("Nothing was done: type {} to confirm that {} are deleted.", self.word(), self.object())
    }

    /// The card that asks, with the hidden fields of the plan's form.
    pub(super) fn card(&self, action: &str, hidden: &Markup, may_apply: bool, fault: Option<&str>) -> Markup {
        let object = self.object();
        html! {
            section.card.red aria-labelledby="held" {
                header {
                    span.bad { (glyph(Glyph::Failed)) }
                    h2 id="held" {
                        @match self.names.len() { 1 => "1 deletion is held", count => { (count) " deletions are held" } }
                    }
                }
                div.body {
                    p { (self.why) }
                    p { "These projects are gone from Git. Confirmation deletes their environments; the plan below shows each object, and which volumes are kept." }
                    ul.row {
                        @for name in self.names.iter().take(NAMES) { li { span.chip { (name) } } }
                        @if self.names.len() > NAMES { li { "and " (self.names.len() - NAMES) " more" } }
                    }
                    @if may_apply {
                        form.narrow method="post" action=(action) {
                            (hidden)
                            div.field {
                                label for="confirm" { "Type " code { (self.word()) } " to confirm" }
                                @if let Some(fault) = fault { p.error id="confirm-error" { (fault) } }
                                input id="confirm" name="confirm" autocomplete="off" autocapitalize="none" spellcheck="false" required
                                    aria-invalid=[fault.map(|_| "true")] aria-describedby=[fault.map(|_| "confirm-error")];
                            }
                            div.actions { button.danger.primary id="apply" type="submit" { "Delete " (object) } }
                        }
                    } @else {
                        p.small { "Your role may not apply plans. An operator can confirm." }
                    }
                    p.small { "To keep the projects, revert the commit that removed them, and push." }
                }
            }
        }
    }
}
