//! The loop that compares and applies: one state machine for each unit, woken by commits, by what was observed and by
//! its own timers.
//!
//! `wanted` takes what Git says, `start` begins an apply, `describe` puts into words how a unit is doing, `ask` asks those
//! who know more, and `publish` tells everybody else.

mod approval;
mod ask;
mod new_head;
mod plan_inputs;
mod publish;
mod start;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use approval::Grant;
use approval::Grants;
use ask::ask_busy;
pub(super) use plan_inputs::PlanInputs;
use publish::Publishing;
use tokio::sync::{mpsc, oneshot, watch};

use super::agents::{self, Agents};
use super::claims::Claims;
use super::crash_logs::Crashes;
use super::execute::Applied;
use super::follow::Look;
use super::queue::Queue;
use super::rollout::{RestartSlot, Turns};
use super::store_writer::{self, Entry};
use super::unit::{Step, UnitState};
use super::{Deletion, Dependencies, Snapshot};
use crate::agent;
use crate::cluster;
use crate::desired::WantedUnits;
use crate::plan::{self, CrashLoop, Desired, Observation, Policy, UnitPlan};
use crate::project::{Inventory, LastChange, ObjectKey, ProjectName, Revision, Sent, Unit};

/// Units that are applied at the same time, as many as requests may be on their way: a unit has often only one. How many
/// they send together is for [`cluster::Pace`] to say.
const PARALLEL_UNITS: usize = 128;
/// So long units are planned before the loop looks at what has happened meanwhile.
const SLICE: Duration = Duration::from_millis(20);

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Message {
    /// The head moved.
    Looked(Box<Look>, Vec<oneshot::Sender<()>>),
    /// The head is where it was.
    Unmoved(Vec<oneshot::Sender<()>>),
    /// The repository could not be read.
    Unreadable(String, Vec<oneshot::Sender<()>>),
    /// An apply ended; with what is known by it of what was sent.
    Applied(Unit, u64, Applied, Vec<(ObjectKey, Sent)>),
    /// What the agent in the pod with this uid says.
    Agent(ProjectName, String, Box<Result<agent::Status, agent::ClientError>>),
    /// Whether a turn runs in a project that is to restart.
    Busy(ProjectName, bool),
    /// What a container wrote before it ended.
    LastWords(ProjectName, CrashLoop, String),
    /// Which of the projects that are gone at this head somebody has deleted knowingly.
    Meant(Revision, BTreeSet<ProjectName>),
    /// Somebody wants to see it done.
    Refresh(Option<ProjectName>, oneshot::Sender<()>),
    /// Somebody wants to compare with what was seen, of one unit or of all.
    PlanInputs(Option<Unit>, oneshot::Sender<PlanInputs>),
    /// Somebody has looked at plans, and wants just these.
    Grant(Grant),
    /// Somebody asks what deleting a project would do.
    Deletion(ProjectName, oneshot::Sender<Option<Deletion>>),
    /// Somebody wants to talk to a project's agent.
    Environment(ProjectName, oneshot::Sender<Option<agents::Pod>>),
}

/// Runs until every handle is gone.
pub(super) async fn run(
    parts: Dependencies,
    mut messages: mpsc::Receiver<Message>,
    back: mpsc::WeakSender<Message>,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    let inventory = match parts.store.inventory().await {
        Ok(inventory) => inventory,
        Err(error) => {
            // Nothing is lost without it: what has our field manager is still known to be ours.
            tracing::error!(%error, "the inventory could not be read");
            BTreeMap::new()
        }
    };
    let applied = parts.store.applied_digests().await.unwrap_or_else(|error| {
        tracing::error!(%error, "the history could not be read");
        BTreeMap::new()
    });
    let kinds = inventory.values().flat_map(BTreeMap::keys).map(kind_of).collect::<BTreeSet<_>>();
    let observer = cluster::Observer::start(parts.client.clone(), &parts.namespace, kinds);
    let mut changes = observer.changes();
    let mut connection = observer.connection();
    let mut driver = Driver::new(parts, observer, back, inventory, applied);
    loop {
        let timer = driver.timers.first_key_value().map(|(at, _)| *at);
        let rest = (!driver.dirty.is_empty()).then(Instant::now);
        let deadline = timer.into_iter().chain(driver.publishing.due()).chain(rest).min();
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                driver.take(message);
                while let Ok(message) = messages.try_recv() {
                    driver.take(message);
                }
            }
            changed = changes.next() => driver.observed(changed),
            _ = connection.changed() => {}
            () = sleep_until(deadline) => driver.timers_due(Instant::now()),
        }
        let now = connection.borrow_and_update().clone();
        driver.connected(now);
        driver.advance();
        let is_settled = driver.dirty.is_empty() || !driver.known;
        if is_settled || driver.is_overdue() {
            driver.publish(&publish);
        }
        if is_settled {
            driver.answer();
        }
    }
}

fn kind_of(key: &ObjectKey) -> cluster::Kind {
    cluster::Kind::new(&key.group, &key.kind)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

struct Driver {
    parts: Dependencies,
    observer: cluster::Observer,
    back: mpsc::WeakSender<Message>,
    queue: Queue,
    pace: cluster::Pace,
    /// Where the inventory goes.
    ledger: mpsc::UnboundedSender<Entry>,
    units: BTreeMap<Unit, UnitState>,
    /// What the last head wanted.
    wanted: Arc<WantedUnits>,
    /// Which unit wants which object.
    claims: Arc<Claims>,
    /// The units that have to be planned again.
    dirty: BTreeSet<Unit>,
    /// When to look at which units again.
    timers: BTreeMap<Instant, BTreeSet<Unit>>,
    runs: BTreeMap<Unit, cluster::Canceller>,
    last_changes: BTreeMap<ProjectName, LastChange>,
    /// What each unit had been brought to before this process began, by digest; empty after the first look.
    applied: BTreeMap<Unit, String>,
    agents: Agents,
    crashes: Crashes,
    /// Whether it was ever read what Git wants.
    known: bool,
    /// What is wrong with the root.
    root_error: Option<String>,
    /// What is wrong with the base-wide objects.
    base_error: Option<String>,
    /// What the head gives to warn of.
    warnings: Vec<String>,
    /// The policy in force.
    policy: Arc<Policy>,
    /// Who may restart.
    turns: Turns,
    /// How many objects of each kind are managed.
    kinds: BTreeMap<String, i64>,
    /// Who waits for the next snapshot.
    loading: Vec<oneshot::Sender<()>>,
    /// Who waits until units are done.
    refreshing: Vec<(Option<ProjectName>, oneshot::Sender<()>)>,
    /// Who waits for the plans that they had looked at.
    grants: Grants,
    next: Snapshot,
    publishing: Publishing,
}

impl Driver {
    fn new(
        parts: Dependencies,
        observer: cluster::Observer,
        back: mpsc::WeakSender<Message>,
        inventory: BTreeMap<Unit, Inventory>,
        applied: BTreeMap<Unit, String>,
    ) -> Self {
        let mut kinds = BTreeMap::new();
        for key in inventory.values().flat_map(BTreeMap::keys) {
            *kinds.entry(key.kind.clone()).or_default() += 1;
        }
        let units =
            inventory.into_iter().map(|(unit, inventory)| (unit, UnitState::with_inventory(inventory))).collect();
        let (ledger, entries) = mpsc::unbounded_channel();
        tokio::spawn(store_writer::keep(parts.store.clone(), entries));
        Self {
            parts,
            observer,
            back,
            queue: Queue::default(),
            pace: cluster::Pace::default(),
            ledger,
            units,
            wanted: Arc::default(),
            claims: Arc::default(),
            dirty: BTreeSet::new(),
            timers: BTreeMap::new(),
            runs: BTreeMap::new(),
            last_changes: BTreeMap::new(),
            applied,
            agents: Agents::default(),
            crashes: Crashes::default(),
            known: false,
            root_error: None,
            base_error: None,
            warnings: Vec::new(),
            policy: Arc::default(),
            turns: Turns::default(),
            kinds,
            loading: Vec::new(),
            refreshing: Vec::new(),
            grants: Grants::default(),
            next: Snapshot::default(),
            publishing: Publishing::default(),
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Looked(look, waiting) => {
                self.loading.extend(waiting);
                self.looked(*look);
            }
            Message::Unmoved(waiting) => {
                self.loading.extend(waiting);
            }
            Message::Unreadable(error, waiting) => {
                self.loading.extend(waiting);
                self.root_error = Some(format!("the state repository cannot be read: {error}"));
                self.publishing.changed();
            }
            Message::Applied(unit, run, applied, sent) => {
                self.note_sent(&unit, sent);
                self.runs.remove(&unit);
                self.grants.ended(&unit, run, &applied);
                if let Some(state) = self.units.get_mut(&unit) {
                    let outdated = state.pause() == Step::Preempt;
                    if let (Some(attempt), false) = (&mut state.attempt, outdated) {
                        if let Some(took) = attempt.ended(&applied.failures, applied.complete)
                            && unit != Unit::Base
                        {
                            self.parts.metrics.reconciled("applied", took);
                        }
                        let _ = self.ledger.send(Entry::History(attempt.passage(&unit)));
                    }
                    if state.ended(run, applied.failures, applied.complete, Instant::now()) {
                        state.untouched = applied.untouched && !state.failures.is_empty();
                    }
                }
                self.dirty.insert(unit);
            }
            Message::Agent(project, uid, answer) => {
                self.agents.answered(&project, &uid, &answer, Instant::now());
                self.dirty.insert(Unit::Project(project));
            }
            Message::Busy(project, is_busy) => {
                self.dirty.extend(self.turns.answered(&Unit::Project(project), is_busy, Instant::now()));
            }
            Message::LastWords(project, crash, log) => {
                let words = self.without_secrets(&project, &log);
                self.crashes.answered(&project, &crash, words);
                self.dirty.insert(Unit::Project(project));
            }
            Message::Meant(head, meant) => {
                if self.next.head == Some(head) {
                    self.judge_deletions(Some(&meant));
                }
            }
            Message::Refresh(project, done) => {
                for (unit, state) in &mut self.units {
                    if project.as_ref().is_none_or(|name| *unit == Unit::Project(name.clone())) {
                        state.forget_waits();
                        self.dirty.insert(unit.clone());
                    }
                }
                self.refreshing.push((project, done));
            }
            Message::Environment(project, answer) => {
                let unit = Unit::Project(project);
                let pod = self
                    .units
                    .get(&unit)
                    .filter(|_| self.next.synced)
                    .and_then(|state| agents::running(&self.observe(&unit, state)));
                let _ = answer.send(pod);
            }
            Message::PlanInputs(only, answer) => {
                let _ = answer.send(self.seen(only.as_ref()));
            }
            Message::Grant(grant) => self.grant(grant),
            Message::Deletion(project, answer) => {
                let _ = answer.send(self.deletion(project));
            }
        }
    }

    /// What would be done for a project that Git wanted no more; nothing is known of that before the first look.
    fn deletion(&self, project: ProjectName) -> Option<Deletion> {
        let unit = Unit::Project(project);
        let state = self.units.get(&unit).filter(|_| self.next.synced)?;
        let observation = self.observe(&unit, state);
        let plan =
            |delete_volumes| plan::unit(&unit, &Desired::Absent { delete_volumes }, &observation, &self.policy.drift);
        Some(Deletion { keeping_volumes: plan(false), with_volumes: plan(true) })
    }

    /// What is known of a unit in the cluster.
    fn observe(&self, unit: &Unit, state: &UnitState) -> Observation {
        let objects = self.observer.objects_for(unit, state.keys());
        let was_applied = state.was_applied();
        let mut observation =
            Observation { objects, inventory: state.inventory.clone(), was_applied, ..Observation::default() };
        let standing = |other: &Unit| self.units.get(other).map(UnitState::standing).unwrap_or_default();
        self.claims.complete(&mut observation, unit, standing);
        observation
    }

    /// Takes what the watches saw.
    fn observed(&mut self, changed: BTreeSet<Unit>) {
        for unit in changed {
            // Something with a label of ours that Git knows nothing of.
            self.units.entry(unit.clone()).or_default();
            self.dirty.insert(unit);
        }
    }

    /// Takes how the watches are doing.
    fn connected(&mut self, connection: cluster::Connection) {
        if self.next.cluster != connection.unreachable || self.next.synced != connection.synced {
            self.next.cluster = connection.unreachable;
            self.next.synced = connection.synced;
            self.publishing.changed();
            self.dirty.extend(self.units.keys().cloned());
            self.dirty.extend(self.observer.units(|_| true));
            for unit in &self.dirty {
                self.units.entry(unit.clone()).or_default();
            }
            if self.known && self.next.synced {
                // Only now it can be seen what a deletion would take away.
                self.judge_deletions(None);
            }
        }
    }

    fn timers_due(&mut self, now: Instant) {
        let later = self.timers.split_off(&(now + Duration::from_millis(1)));
        for units in std::mem::replace(&mut self.timers, later).into_values() {
            self.dirty.extend(units);
        }
    }

    /// Plans every unit that something happened to, and starts what can start.
    fn advance(&mut self) {
        // Before Git was read nothing is missing from it; before the first lists nothing is missing from the cluster.
        if !self.known {
            return;
        }
        let began = Instant::now();
        // What one does may concern others: a turn that becomes free is taken at once.
        while began.elapsed() < SLICE {
            if self.runs.len() < PARALLEL_UNITS
                && let Some(unit) = self.queue.take()
            {
                self.dirty.remove(&unit);
                self.advance_unit(&unit, true);
            } else if let Some(unit) = self.dirty.pop_first() {
                let has_room = self.runs.len() < PARALLEL_UNITS;
                self.advance_unit(&unit, has_room);
            } else {
                return;
            }
        }
    }

    /// Plans a unit, and starts what is to be done if there is room for it.
    fn advance_unit(&mut self, unit: &Unit, has_room: bool) {
        let Some(state) = self.units.get(unit) else { return };
        let is_described = matches!(unit, Unit::Project(name) if self.next.projects.contains_key(name));
        if state.is_running() && state.pause() == Step::Rest && is_described {
            // Every answer to a write of ours comes by here; the end of the run looks at all of them together.
            return;
        }
        let now = Instant::now();
        let observation = if self.next.synced { self.observe(unit, state) } else { Observation::default() };
        let mut plan = UnitPlan { unit: unit.clone(), actions: Vec::new(), held: Vec::new() };
        if let Some(state) = self.units.get_mut(unit).filter(|_| self.next.synced) {
            let granted = state.granted.take();
            let planned = state.planned(granted.is_some());
            if let Some(desired) = &planned {
                let drift = granted.as_ref().and_then(|granted| granted.drift.as_ref()).unwrap_or(&self.policy.drift);
                plan = plan::unit(unit, desired, &observation, drift);
            }
            if let Some(granted) = &granted {
                if !granted.is_for(&plan) {
                    self.grants.refused(unit);
                    self.dirty.insert(unit.clone());
                    return;
                }
                state.confirm_deletion();
            }
            let is_suspended = granted.is_none() && state.suspended(&self.policy).is_some();
            let mut rests = planned.is_none() || is_suspended;
            if !rests && plan::restarts(&plan, &observation) {
                let pod = agents::ready(&observation).filter(|_| self.parts.agents.is_some());
                let turn = self.turns.may_restart(unit, self.policy.rollout, pod.is_some(), now);
                rests = turn != RestartSlot::Now;
                match (turn, pod, unit) {
                    (RestartSlot::Ask, Some(pod), Unit::Project(name)) => {
                        ask_busy(&self.parts, self.back.clone(), name, pod)
                    }
                    (RestartSlot::Later(at), ..) => {
                        self.timers.entry(at).or_default().insert(unit.clone());
                    }
                    _ => {}
                }
            }
            let waits = !rests && !has_room && !plan.actions.is_empty() && !state.is_running();
            match waits {
                true => self.queue.put(unit, if state.is_drift() { 0 } else { state.changed_with }),
                false => self.queue.forget(unit),
            }
            let step = if rests || waits { state.pause() } else { state.step(&mut plan, now) };
            if let Some(granted) = granted {
                self.grants.stepped(unit, state, granted, step, &plan);
            }
            match step {
                Step::Rest => {}
                Step::Later(at) => {
                    self.timers.entry(at).or_default().insert(unit.clone());
                }
                Step::Preempt => {
                    if let Some(run) = self.runs.get(unit) {
                        run.cancel();
                    }
                }
                Step::Apply(run) => {
                    self.start(unit, run, plan.clone());
                }
            }
        }
        self.describe(unit, plan, &observation);
    }
}
