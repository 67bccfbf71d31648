//! What controllers complain of: a pod that a quota refuses, a volume that nobody provides. Only events say so.
//!
//! The newest complaint about each object is kept, until its event expires. Events are many and small, and anybody may write
//! them, so that both their number and their length are bounded.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::project::ObjectKey;

/// The reasons of the events that are watched.
pub(super) const REASONS: [&str; 4] = ["FailedBinding", "FailedCreate", "ProvisioningFailed", "VolumeResizeFailed"];
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

/// The complaints by what they are about.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<ObjectKey, Kept>);

#[derive(Debug)]
struct Kept {
    event: String,
    time: String,
    complaint: Complaint,
}

impl Complaints {
    /// Takes an event. Gives what it is about when it is news, which the same sentence once more is not: controllers repeat
    /// themselves for every volume of a fleet.
    pub(super) fn seen(&mut self, event: &Value, now: Instant) -> Option<ObjectKey> {
        let about = about(event)?;
        let uid = event.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned();
        let time = time(event)?;
        if self.0.get(&about).is_some_and(|known| known.time > time) {
            return None;
        }
        let message: String = event["message"].as_str()?.chars().take(LONGEST).collect();
        let is_said = self.0.get(&about).is_some_and(|known| known.complaint.message == message);
        if self.0.len() >= MOST && !self.0.contains_key(&about) {
            let oldest = self.0.iter().min_by(|(_, one), (_, other)| one.time.cmp(&other.time));
            let oldest = oldest.map(|(about, _)| about.clone());
            oldest.map(|about| self.0.remove(&about));
        }
        self.0.insert(about.clone(), Kept { event: uid, time, complaint: Complaint { message, seen: now } });
        (!is_said).then_some(about)
    }

    /// Takes that an event is gone: it has expired.
    pub(super) fn gone(&mut self, event: &Value) {
        let uid = event.pointer("/metadata/uid").and_then(Value::as_str);
        if let Some(about) = about(event)
            && self.0.get(&about).is_some_and(|known| uid == Some(&known.event))
        {
            self.0.remove(&about);
        }
    }

    /// The newest complaint about an object.
    pub(super) fn of(&self, key: &ObjectKey) -> Option<&Complaint> {
        self.0.get(key).map(|kept| &kept.complaint)
    }
}

/// The object that an event is about.
fn about(event: &Value) -> Option<ObjectKey> {
    let object = event.get("involvedObject")?;
    let text = |field: &str| object[field].as_str();
    Some(ObjectKey::new(
        object["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group),
        text("kind")?,
        text("namespace"),
        text("name")?,
    ))
}

/// When it was last said. Times of this form sort as texts.
fn time(event: &Value) -> Option<String> {
    let times = ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().find_map(|time| event.pointer(time)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(uid: &str, name: &str, time: &str, message: &str) -> Value {
        json!({
            "metadata": {"uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "involvedObject": {"apiVersion": "apps/v1", "kind": "StatefulSet", "namespace": "n", "name": name},
            "reason": "FailedCreate", "message": message, "lastTimestamp": time,
        })
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
        assert!(complaints.seen(&event("a", "shop-env", two, "quota"), now).is_some());
        assert!(complaints.seen(&event("b", "shop-env", one, "older"), now).is_none());
        assert_eq!((said(&complaints, "shop-env"), said(&complaints, "other-env")), (Some("quota"), None));
        complaints.gone(&event("b", "shop-env", one, "older"));
        assert_eq!(said(&complaints, "shop-env"), Some("quota"), "it was another event");
        complaints.gone(&event("a", "shop-env", two, "quota"));
        assert_eq!(said(&complaints, "shop-env"), None);
        // Of events of the newer kind only the time of the series' beginning is sure.
        let newer = json!({
            "metadata": {"uid": "c", "creationTimestamp": one}, "lastTimestamp": null, "eventTime": two,
            "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "shop-workspace"}, "message": "no class",
        });
        assert_eq!(complaints.seen(&newer, now).unwrap().to_string(), "PersistentVolumeClaim shop-workspace");
        let later = now + std::time::Duration::from_secs(1);
        assert!(complaints.seen(&newer, later).is_none(), "that was said before");
        assert_eq!(complaints.0.values().next().unwrap().complaint.seen, later, "but it still holds");
        assert!(complaints.seen(&json!({"metadata": {}}), now).is_none(), "no event at all");
    }

    #[test]
    fn however_many_and_long_they_are_the_room_is_bounded() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        for number in 0..MOST + 10 {
            let time = format!("2026-11-24T10:{:02}:{:02}Z", number / 60 % 60, number % 60);
            let time = if number >= 3600 { time.replace("T10", "T11") } else { time };
            complaints.seen(&event("a", &format!("p{number}"), &time, &"x".repeat(100_000)), now);
        }
        assert_eq!(complaints.0.len(), MOST);
        assert_eq!(said(&complaints, "p0"), None, "the oldest went");
        assert_eq!(said(&complaints, &format!("p{}", MOST + 9)).map(str::len), Some(LONGEST));
    }
}
