//! Merges what somebody applies into what is there, and takes away what nobody wants any more.

use serde_json::{Map, Value};

use super::fields::{FieldSet, step};
use super::schema::{Identity, Schema, Type};

/// The live value with the applied one laid over it.
pub(super) fn merge(schema: &Schema, ty: &Type, live: &Value, applied: &Value) -> Value {
    if ty.is_leaf() || live.is_null() {
        return applied.clone();
    }
    match (ty, live, applied) {
        (Type::Struct { .. } | Type::Map { .. }, Value::Object(live), Value::Object(applied)) => {
            let mut merged = live.clone();
            for (key, value) in applied {
                let inner = schema.below(ty, key).unwrap_or(Type::Any);
                let before = merged.get(key).cloned().unwrap_or(Value::Null);
                merged.insert(key.clone(), merge(schema, &inner, &before, value));
            }
            Value::Object(merged)
        }
        (Type::List { item, by }, Value::Array(live), Value::Array(applied)) => {
            Value::Array(merge_lists(schema, item, by, live, applied))
        }
        _ => applied.clone(),
    }
}

/// Items that both have come in the applied order; what only one has stays before what followed it there, and of two such
/// the live one comes first.
fn merge_lists(schema: &Schema, item: &Type, by: &Identity, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let names = |list: &[Value]| -> Vec<String> {
        list.iter().map(|value| step(schema, item, by, value).unwrap_or_default()).collect()
    };
    let (live_names, names) = (names(live), names(applied));
    let partner = |name: &String| live_names.iter().position(|other| other == name).map(|index| &live[index]);
    let mut shared = names.iter().filter(|name| live_names.contains(name)).peekable();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut next_live, mut next) = (0, 0);
    while next_live < live.len() || next < applied.len() {
        if let Some(name) = live_names.get(next_live) {
            if !names.contains(name) {
                merged.push(live[next_live].clone());
                next_live += 1;
                continue;
            }
            // It comes where the applied list has it. Only the next one that both have holds its place here.
            if shared.peek().is_none_or(|wanted| *wanted != name) {
                next_live += 1;
                continue;
            }
        }
        let Some(value) = applied.get(next) else { break };
        let name = &names[next];
        merged.push(partner(name).map_or_else(|| value.clone(), |partner| merge(schema, item, partner, value)));
        if shared.peek().is_some_and(|wanted| *wanted == name) {
            shared.next();
        }
        next += 1;
    }
    merged
}

/// Takes away what is in `before` (what a manager owned until now) and in none of `kept` (what it and others own now).
/// What becomes empty by that goes too.
pub(super) fn prune(schema: &Schema, ty: &Type, value: &mut Value, before: &FieldSet, kept: &[&FieldSet]) {
    if ty.is_leaf() {
        return;
    }
    match (ty, value) {
        (Type::Struct { .. } | Type::Map { .. }, Value::Object(map)) => {
            let entries = std::mem::take(map);
            *map = entries
                .into_iter()
                .filter_map(|(key, below)| {
                    let inner = schema.below(ty, &key).unwrap_or(Type::Any);
                    let left = prune_entry(schema, &inner, below, &format!("f:{key}"), before, kept)?;
                    Some((key, left))
                })
                .collect::<Map<_, _>>();
        }
        (Type::List { item, by }, Value::Array(list)) => {
            let items = std::mem::take(list);
            *list = items
                .into_iter()
                .filter_map(|below| match step(schema, item, by, &below) {
                    Some(step) => prune_entry(schema, item, below, &step, before, kept),
                    None => Some(below),
                })
                .collect();
        }
        _ => {}
    }
}

fn prune_entry(
    schema: &Schema,
    ty: &Type,
    mut value: Value,
    step: &str,
    before: &FieldSet,
    kept: &[&FieldSet],
) -> Option<Value> {
    let Some(before) = before.at(step) else { return Some(value) };
    let kept: Vec<&FieldSet> = kept.iter().filter_map(|set| set.at(step)).collect();
    if kept.is_empty() && before.is_member() {
        return None;
    }
    let was_empty = is_empty(&value);
    prune(schema, ty, &mut value, before, &kept);
    let wanted = kept.iter().any(|set| !set.is_empty());
    (was_empty || wanted || !is_empty(&value)).then_some(value)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(live: &Value, before: &Value, now: &Value, others: &Value) -> Value {
        let (schema, ty) = (Schema::new(), Type::named("StatefulSet"));
        let set = |value: &Value| FieldSet::of_applied(&schema, &ty, value);
        let mut merged = merge(&schema, &ty, live, now);
        prune(&schema, &ty, &mut merged, &set(before), &[&set(now), &set(others)]);
        merged
    }

    fn spec(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn what_is_applied_no_longer_goes_with_the_servers_defaults_around_it() {
        let before = spec(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
        let live = spec(json!([{"name": "a", "image": "1", "pull": "x"}, {"name": "b", "image": "1", "pull": "x"}]));
        let now = spec(json!([{"name": "a"}]));
        assert_eq!(apply(&live, &before, &now, &json!({})), spec(json!([{"name": "a", "pull": "x"}])));
    }

    #[test]
    fn what_somebody_else_owns_stays() {
        let before = spec(json!([{"name": "a", "image": "1"}]));
        assert_eq!(apply(&before, &before, &json!({"spec": {}}), &before), before);
        let metadata = json!({"metadata": {"annotations": {"mine": "1", "theirs": "1"}}});
        let theirs = json!({"metadata": {"annotations": {"theirs": "1"}}});
        assert_eq!(apply(&metadata, &metadata, &json!({}), &theirs), theirs);
    }

    #[test]
    fn what_becomes_empty_goes_too() {
        let before = json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"replicas": 1}});
        assert_eq!(
            apply(&before, &before, &json!({"spec": {"replicas": 1}}), &json!({})),
            json!({"spec": {"replicas": 1}})
        );
    }

    #[test]
    fn items_come_in_the_applied_order_and_foreign_ones_keep_their_place() {
        let live = spec(json!([{"name": "x"}, {"name": "a"}, {"name": "b"}]));
        let now = spec(json!([{"name": "b"}, {"name": "a"}, {"name": "c"}]));
        let merged = apply(&live, &json!({}), &now, &json!({}));
        let names: Vec<&str> = merged["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["x", "b", "a", "c"]);
    }
}
