//! Whether a plan that fails in the middle would leave a half: something that runs, changed in one place and not in the
//! other.
//!
//! Such a plan is shown to the API server first, which costs a request for each object. A plan that only makes objects is
//! not: what is missing of it is missing visibly, and nothing that runs is another than before.

use super::{Operation, UnitPlan};

/// Whether the plan changes a live object and does more than that.
#[must_use]
pub fn may_leave_half(plan: &UnitPlan) -> bool {
    let changes_live =
        |operation: &Operation| matches!(operation, Operation::Update { .. } | Operation::Recreate { .. });
    plan.actions.len() > 1 && plan.actions.iter().any(|action| changes_live(&action.operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Content};
    use crate::project::{ObjectKey, Unit};

    fn judged(operations: &[Operation]) -> bool {
        let action = |operation: &Operation| Action {
            key: ObjectKey::new("", "Service", None, "a"),
            api_version: "v1".into(),
            stage: 1,
            operation: operation.clone(),
            reason: String::new(),
            changes: Vec::new(),
        };
        let actions = operations.iter().map(action).collect();
        may_leave_half(&UnitPlan { unit: Unit::Base, actions, held: Vec::new() })
    }

    #[test]
    fn only_what_changes_a_live_object_beside_others_can_leave_a_half() {
        let create = || Operation::Create(Content::default());
        let update = || Operation::Update { object: Content::default(), take_over: false };
        let remake = || Operation::Recreate { uid: String::new(), object: Content::default() };
        let delete = || Operation::Delete { uid: String::new() };
        for (operations, expected) in [
            (vec![], false),
            (vec![update()], false),
            (vec![remake()], false),
            (vec![create(), create(), create()], false),
            (vec![delete(), delete()], false),
            (vec![create(), delete()], false),
            (vec![update(), update()], true),
            (vec![create(), update()], true),
            (vec![update(), delete()], true),
            (vec![create(), remake()], true),
        ] {
            assert_eq!(judged(&operations), expected, "{operations:?}");
        }
    }
}
