//! What controllers complain of: a pod that a quota refuses, a volume that nobody provides. Only events say so.
//!
//! The newest complaint about each object is kept, until its event expires. Events are many and small, and anybody may write
//! them, so that both their number and their length are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::Deserialize;

use crate::project::ObjectKey;

/// The reasons of the events that count.
const REASONS: [&str; 4] = ["FailedBinding", "FailedCreate", "ProvisioningFailed", "VolumeResizeFailed"];
/// Which events are watched. A selector cannot say "one of these reasons", and the API server reads each event once for each
/// watch, as it keeps none of them: so one watch leaves out what there is much of, and the reasons are looked at here.
pub(super) const SELECTOR: &str = "involvedObject.kind!=Pod,reason!=SuccessfulCreate,reason!=SuccessfulDelete,\
    reason!=WaitForFirstConsumer,reason!=ExternalProvisioning";
/// At most so many complaints are kept.
const MOST: usize = 4096;
/// At most so many characters of one.
const LONGEST: usize = 600;

/// What a controller says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Its sentence.
    pub message: String,
    /// When this process saw it; what was there before it began was seen at its beginning.
    pub seen: Instant,
}

/// What is read of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) metadata: Metadata,
    involved_object: About,
    reason: Option<String>,
    message: Option<String>,
    last_timestamp: Option<String>,
    event_time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    uid: Option<String>,
    creation_timestamp: Option<String>,
    pub(super) resource_version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    api_version: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Event {
    /// The object that it is about; `None` when it is no complaint.
    fn about(&self) -> Option<ObjectKey> {
        if !REASONS.contains(&self.reason.as_deref()?) {
            return None;
        }
        let object = &self.involved_object;
        Some(ObjectKey::new(
            object.api_version.as_deref()?.split_once('/').map_or("", |(group, _)| group),
            object.kind.as_deref()?,
            object.namespace.as_deref(),
            object.name.as_deref()?,
        ))
    }

    /// When it was last said. Times of this form sort as texts.
    fn time(&self) -> Option<&str> {
        let times = [&self.last_timestamp, &self.event_time, &self.metadata.creation_timestamp];
        times.into_iter().find_map(|time| time.as_deref())
    }
}

/// The complaints by what they are about.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    kept: BTreeMap<ObjectKey, Kept>,
    /// The same ones, oldest first.
    by_time: BTreeSet<(Box<str>, ObjectKey)>,
}

#[derive(Debug)]
struct Kept {
    event: Box<str>,
    time: Box<str>,
    complaint: Complaint,
}

impl Complaints {
    /// Takes an event. Gives what it is about when it is news, which the same sentence once more is not: controllers repeat
    /// themselves for every volume of a fleet.
    pub(super) fn seen(&mut self, event: &Event, now: Instant) -> Option<ObjectKey> {
        let about = event.about()?;
        let (uid, time) = (event.metadata.uid.as_deref()?, event.time()?);
        let message: String = event.message.as_deref()?.chars().take(LONGEST).collect();
        let known = self.kept.get(&about);
        if known.is_some_and(|known| *known.time > *time) {
            return None;
        }
        let is_said = known.is_some_and(|known| known.complaint.message == message);
        self.forget(&about);
        if self.kept.len() >= MOST
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.kept.remove(&oldest);
        }
        self.by_time.insert((time.into(), about.clone()));
        let complaint = Complaint { message, seen: now };
        self.kept.insert(about.clone(), Kept { event: uid.into(), time: time.into(), complaint });
        (!is_said).then_some(about)
    }

    /// Takes that an event is gone: it has expired.
    pub(super) fn gone(&mut self, event: &Event) {
        let uid = event.metadata.uid.as_deref();
        if let Some(about) = event.about()
            && self.kept.get(&about).is_some_and(|known| uid == Some(&*known.event))
        {
            self.forget(&about);
        }
    }

    fn forget(&mut self, about: &ObjectKey) {
        if let Some(known) = self.kept.remove(about) {
            self.by_time.remove(&(known.time, about.clone()));
        }
    }

    /// The newest complaint about an object.
    pub(super) fn of(&self, key: &ObjectKey) -> Option<&Complaint> {
        self.kept.get(key).map(|kept| &kept.complaint)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(uid: &str, name: &str, time: &str, message: &str) -> Value {
        json!({
            "metadata": {"uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "involvedObject": {"apiVersion": "apps/v1", "kind": "StatefulSet", "namespace": "n", "name": name},
            "reason": "FailedCreate", "message": message, "lastTimestamp": time,
        })
    }

    /// What a watch does with an event.
    fn seen(complaints: &mut Complaints, event: &Value, now: Instant) -> Option<ObjectKey> {
        complaints.seen(&Event::deserialize(event).unwrap(), now)
    }

    fn gone(complaints: &mut Complaints, event: &Value) {
        complaints.gone(&Event::deserialize(event).unwrap());
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("apps", "StatefulSet", Some("n"), name)
    }

    fn said<'c>(complaints: &'c Complaints, name: &str) -> Option<&'c str> {
        complaints.of(&key(name)).map(|complaint| complaint.message.as_str())
    }

    #[test]
    fn the_newest_complaint_about_an_object_counts_until_its_event_expires() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        let (one, two) = ("2026-11-24T10:00:01Z", "2026-11-24T10:00:02Z");
        assert!(seen(&mut complaints, &event("a", "shop-env", two, "quota"), now).is_some());
        assert!(seen(&mut complaints, &event("b", "shop-env", one, "older"), now).is_none());
        assert_eq!((said(&complaints, "shop-env"), said(&complaints, "other-env")), (Some("quota"), None));
        assert!(seen(&mut complaints, &event("a", "shop-env", "2026-11-24T10:00:03Z", "quota"), now).is_none());
        assert_eq!((complaints.kept.len(), complaints.by_time.len()), (1, 1), "said again, it is still one");
        gone(&mut complaints, &event("b", "shop-env", one, "older"));
        assert_eq!(said(&complaints, "shop-env"), Some("quota"), "it was another event");
        gone(&mut complaints, &event("a", "shop-env", two, "quota"));
        assert_eq!(said(&complaints, "shop-env"), None);
        // Of events of the newer kind only the time of the series' beginning is sure.
        let newer = json!({
            "metadata": {"uid": "c", "creationTimestamp": one}, "lastTimestamp": null, "eventTime": two,
            "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "shop-workspace"}, "message": "no class",
            "reason": "ProvisioningFailed",
        });
        assert_eq!(seen(&mut complaints, &newer, now).unwrap().to_string(), "PersistentVolumeClaim shop-workspace");
        let later = now + std::time::Duration::from_secs(1);
        assert!(seen(&mut complaints, &newer, later).is_none(), "that was said before");
        assert_eq!(complaints.kept.values().next().unwrap().complaint.seen, later, "but it still holds");
        assert!(seen(&mut complaints, &json!({"metadata": {}, "involvedObject": {}}), now).is_none(), "of nothing");
        let mut other = event("d", "shop-env", two, "it is made");
        other["reason"] = json!("SuccessfulCreate");
        assert!(seen(&mut complaints, &other, now).is_none(), "no complaint");
    }

    #[test]
    fn however_many_and_long_they_are_the_room_is_bounded() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        for number in 0..MOST + 10 {
            let time = format!("2026-11-24T10:{:02}:{:02}Z", number / 60 % 60, number % 60);
            let time = if number >= 3600 { time.replace("T10", "T11") } else { time };
            seen(&mut complaints, &event("a", &format!("p{number}"), &time, &"x".repeat(100_000)), now);
        }
        assert_eq!((complaints.kept.len(), complaints.by_time.len()), (MOST, MOST));
        assert_eq!(said(&complaints, "p0"), None, "the oldest went");
        assert_eq!(said(&complaints, &format!("p{}", MOST + 9)).map(str::len), Some(LONGEST));
    }
}
