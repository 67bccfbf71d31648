//! What a container that ends again and again wrote last: asked for once after each end, never polled.

use std::collections::BTreeMap;

use crate::plan::{self, CrashLoop, Observation};
use crate::project::{ProjectName, Unit};

/// What is known of the containers that end again and again, for each project the first of them.
#[derive(Debug, Default)]
pub(super) struct Crashes(BTreeMap<ProjectName, SavedCrash>);

#[derive(Debug)]
struct SavedCrash {
    crash: CrashLoop,
    /// What it wrote last, without secrets; of an earlier end until the answer for this one is there.
    words: Option<String>,
}

impl Crashes {
    /// Looks at a project's pods. Gives the end whose log is to be asked for, once.
    pub(super) fn step(&mut self, project: &ProjectName, observation: &Observation) -> Option<CrashLoop> {
        let unit = Unit::Project(project.clone());
        let Some(crash) = plan::crash_loop(&unit, observation) else {
            // A container runs between two ends; what it said is forgotten with its pod.
            let is_there = |known: &mut SavedCrash| {
                observation.objects.values().any(|live| live.object["metadata"]["uid"] == *known.crash.uid)
            };
            if self.0.get_mut(project).is_some_and(|known| !is_there(known)) {
                self.0.remove(project);
            }
            return None;
        };
        let known = self.0.get_mut(project);
        match known {
            Some(known) if known.crash.is_same_end(&crash) => None,
            Some(known) if known.crash.uid == crash.uid && known.crash.container == crash.container => {
                known.crash = crash.clone();
                Some(crash)
            }
            _ => {
                self.0.insert(project.clone(), SavedCrash { crash: crash.clone(), words: None });
                Some(crash)
            }
        }
    }

    /// Takes what was written last before `crash`.
    pub(super) fn answered(&mut self, project: &ProjectName, crash: &CrashLoop, words: String) {
        if let Some(known) = self.0.get_mut(project).filter(|known| known.crash.is_same_end(crash)) {
            known.words = Some(words).filter(|words| !words.is_empty());
        }
    }

    /// What the container wrote last, as far as that is known.
    pub(super) fn words(&self, project: &ProjectName) -> Option<&str> {
        self.0.get(project)?.words.as_deref()
    }

    /// Forgets a project that is gone.
    pub(super) fn forget(&mut self, project: &ProjectName) {
        self.0.remove(project);
    }
}

#[cfg(test)]
mod tests {

    use serde_json::{Value, json};

    use super::*;
    use crate::plan::Live;
    use crate::project::ObjectKey;

    fn project() -> ProjectName {
        ProjectName::parse("shop").unwrap()
    }

    fn pod(uid: &str, restarts: u64, state: Value) -> Observation {
        let key = ObjectKey::new("", "Pod", Some("team"), "shop-env-0");
        let container = json!({"name": "agent", "restartCount": restarts, "state": state});
        let object = json!({
            "metadata": {"name": "shop-env-0", "uid": uid, "labels": {"claude-manager.io/project": "shop"}},
            "status": {"containerStatuses": [container]},
        });
        let set = ObjectKey::new("apps", "StatefulSet", Some("team"), "shop-env");
        let labels = json!({"metadata": {"labels": {"claude-manager.io/project": "shop"}}});
        let mut observation = Observation::default();
        observation.objects.extend([(key, Live::new(object)), (set, Live::new(labels))]);
        observation
    }

    fn waits() -> Value {
        json!({"waiting": {"reason": "CrashLoopBackOff"}})
    }

    fn ended() -> Value {
        json!({"terminated": {"exitCode": 3}})
    }

    #[test]
    fn each_end_is_asked_for_once_however_often_it_is_looked_at() {
        let mut crashes = Crashes::default();
        assert_eq!(crashes.step(&project(), &pod("a", 0, json!({"running": {}}))), None);
        let first = crashes.step(&project(), &pod("a", 1, ended())).unwrap();
        assert_eq!(
            (first.pod.as_str(), first.container.as_str(), first.is_earlier_run),
            ("shop-env-0", "agent", false)
        );
        for _ in 0..3 {
            assert_eq!(crashes.step(&project(), &pod("a", 1, waits())), None, "the same end");
            assert_eq!(crashes.step(&project(), &pod("a", 2, json!({"running": {}}))), None, "it runs");
        }
        crashes.answered(&project(), &first, "no such file".into());
        assert_eq!(crashes.words(&project()), Some("no such file"));
        let second = crashes.step(&project(), &pod("a", 2, waits())).unwrap();
        assert!(second.is_earlier_run);
        assert_eq!(crashes.words(&project()), Some("no such file"), "until there is something newer");
        crashes.answered(&project(), &first, "late".into());
        assert_eq!(crashes.words(&project()), Some("no such file"), "an answer for an earlier end");
        crashes.answered(&project(), &second, String::new());
        assert_eq!(crashes.words(&project()), None);
    }

    #[test]
    fn another_pod_forgets_what_the_one_before_said() {
        let mut crashes = Crashes::default();
        let first = crashes.step(&project(), &pod("a", 1, waits())).unwrap();
        crashes.answered(&project(), &first, "x".into());
        crashes.step(&project(), &pod("b", 0, json!({"running": {}})));
        assert_eq!(crashes.words(&project()), None);
        assert!(crashes.step(&project(), &pod("b", 1, waits())).is_some());
        assert_eq!(crashes.words(&project()), None);
    }
}
