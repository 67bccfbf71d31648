//! What the volumes of a project say.

use jiff::Timestamp;
use serde_json::Value;

use super::other::condition;
use super::text::quote;
use super::{Awaited, StatusInput, Verdict, of};
use crate::plan::Observation;
use crate::project::{Phase, Quantity, Reason, Unit};

/// For how long a volume may stay unbound while a pod waits for it, in seconds: provisioners of network disks take up
/// to a minute.
const PROVISIONING: i64 = 120;

/// A volume whose data is gone.
pub(super) fn lost(unit: &Unit, observation: &Observation) -> Option<Verdict> {
    let name = claims(unit, observation).find(|(_, claim)| phase(claim) == Some("Lost")).map(|(name, _)| name)?;
    let message = format!(
        "Volume {name} is lost: the PersistentVolume behind it is gone. Bring it back, or restore its data and delete the claim."
    );
    Some(Verdict::new(Phase::Failed, Reason::WaitingForVolume, message))
}

/// A volume that one of these pods waits for. Without a pod an unbound volume is as it should be, because most classes
/// bind when the first pod comes; so the time counts from the pod.
pub(super) fn unbound(unit: &Unit, input: &StatusInput<'_>, pods: &[&Value]) -> Option<Verdict> {
    let (name, claim) = claims(unit, input.observation).find(|(_, claim)| phase(claim) == Some("Pending"))?;
    let since = pods.iter().filter_map(|pod| made(pod)).min().max(made(claim));
    let late = since.is_some_and(|since| input.now.as_second() - since.as_second() > PROVISIONING);
    let class = claim.pointer("/spec/storageClassName").and_then(Value::as_str).filter(|class| !class.is_empty());
    let said =
        input.said_of(Awaited::Volume).map(|said| format!(" The cluster says: {}.", quote(said))).unwrap_or_default();
    let message = match class {
        Some(class) => format!("Volume {name} is not bound yet; the storage class {class} has to provide it.{said}"),
        None => format!(
            "Volume {name} is not bound yet and names no storage class; the cluster needs a default class, or the project one of its own.{said}"
        ),
    };
    Some(Verdict::new(if late { Phase::Failed } else { Phase::Starting }, Reason::WaitingForVolume, message))
}

/// What is to be said beside `environment`, which is up or stopped, of a volume that is smaller than Git says: it still grows,
/// or it cannot.
pub(super) fn growing(unit: &Unit, input: &StatusInput<'_>, environment: Verdict) -> Verdict {
    let grows = |(name, claim)| Some((name, claim, smaller(claim)?));
    let Some((name, claim, (from, to))) = claims(unit, input.observation).find_map(grows) else { return environment };
    let holds = |kind: &str| condition(claim, kind, "True", None);
    let resize = claim.pointer("/status/allocatedResourceStatuses/storage").and_then(Value::as_str).unwrap_or_default();
    let has_failed = ["Infeasible", "Failed"].iter().any(|end| resize.ends_with(end));
    let said = holds("ControllerResizeError").or_else(|| holds("NodeResizeError")).or(input.said_of(Awaited::Growth));
    if has_failed || said.is_some() {
        let said = said.filter(|said| !said.is_empty()).map(|said| format!(" ({})", quote(said))).unwrap_or_default();
        let message = format!(
            "Volume {name} stays at {from} and does not grow to {to}{said}. Have the storage looked at, or ask in Git for a \
             size in between that it can give; the environment itself is not touched."
        );
        return Verdict::new(Phase::Failed, Reason::VolumeGrowthFailed, message);
    }
    let waits_for_node = resize == "NodeResizePending" || holds("FileSystemResizePending").is_some();
    let growth = match (waits_for_node, environment.phase) {
        (false, _) => format!("Volume {name} grows from {from} to {to}."),
        (true, Phase::Stopped) => format!("Volume {name} has its {to} for the file system when a pod mounts it next."),
        (true, _) => format!(
            "Volume {name} has its {to}, and the node has yet to enlarge the file system: if that lasts, stop and start the \
             project."
        ),
    };
    Verdict { message: format!("{} {growth}", environment.message), ..environment }
}

/// How much a bound claim has, and what it asks for, when that is more.
fn smaller(claim: &Value) -> Option<(&str, &str)> {
    let at = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str);
    let (has, asks) = (at("/status/capacity/storage")?, at("/spec/resources/requests/storage")?);
    (Quantity::parse(has).ok()? < Quantity::parse(asks).ok()?).then_some((has, asks))
}

/// Whether a claim is smaller than it asks to be.
#[must_use]
pub fn is_growing(claim: &Value) -> bool {
    smaller(claim).is_some()
}

fn made(object: &Value) -> Option<Timestamp> {
    object.pointer("/metadata/creationTimestamp").and_then(Value::as_str)?.parse().ok()
}

fn claims<'a>(unit: &'a Unit, observation: &'a Observation) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let claims = of(unit, observation).filter(|(key, _)| key.kind == "PersistentVolumeClaim" && key.group.is_empty());
    claims.map(|(key, claim)| (key.name.as_str(), &*claim.object))
}

fn phase(claim: &Value) -> Option<&str> {
    claim.pointer("/status/phase").and_then(Value::as_str)
}
