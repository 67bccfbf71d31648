//! What the volumes of a project say.

use jiff::Timestamp;
use serde_json::Value;

use super::text::quote;
use super::{StatusInput, Verdict, of};
use crate::plan::Observation;
use crate::project::{Phase, Reason, Unit};

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
    let said = input.pod_refusal.map(|said| format!(" The cluster says: {}.", quote(said))).unwrap_or_default();
    let message = match class {
        Some(class) => format!("Volume {name} is not bound yet; the storage class {class} has to provide it.{said}"),
        None => format!(
            "Volume {name} is not bound yet and names no storage class; the cluster needs a default class, or the project one of its own.{said}"
        ),
    };
    Some(Verdict::new(if late { Phase::Failed } else { Phase::Starting }, Reason::WaitingForVolume, message))
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
