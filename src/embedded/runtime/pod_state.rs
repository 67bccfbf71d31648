//! What the agent of one pod does next: the kubelet's decisions, as a state machine.
//!
//! Pure: takes what happened and the time, gives what is to be done. Probes, restarts with growing pauses, and the end with
//! its grace period are all decided here.

use std::time::Duration;

use jiff::Timestamp;

use super::spec::{Probe, Probes};

/// The longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Who ran for so long crashes for the first time again.
const SETTLED: Duration = Duration::from_secs(600);
/// How soon what could not be made is tried again, when nothing changes before.
const RETRY: Duration = Duration::from_secs(10);
/// The shortest pause between two probes of a kind.
const SHORTEST_PROBE: Duration = Duration::from_millis(50);

/// The time, on a clock that only goes forward and on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) clock: Duration,
    pub(super) wall: Timestamp,
}

/// Why there is no process, in the kubelet's word and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Problem {
    /// It is a matter of time.
    pub(super) fn creating(message: impl Into<String>) -> Self {
        Self { reason: "ContainerCreating", message: message.into() }
    }

    /// Something that the pod names is missing or not possible here.
    pub(super) fn config(message: impl Into<String>) -> Self {
        Self { reason: "CreateContainerConfigError", message: message.into() }
    }

    /// The machine refuses.
    pub(super) fn run(message: impl Into<String>) -> Self {
        Self { reason: "RunContainerError", message: message.into() }
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Exit {
    /// As Kubernetes counts: 128 and the number of the signal that ended it.
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    /// False for a process that an earlier run of the manager started: the system tells its end to nobody.
    pub(super) known: bool,
}

/// A process that has ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Terminated {
    pub(super) exit: Exit,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Startup,
    Live,
    Ready,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Something that the pod waits for, or whose files it reads, may have changed.
    Changed,
    /// The process runs. `ready` is known of one that an earlier run of the manager started.
    Started {
        pid: u32,
        started: Timestamp,
        adopted: bool,
        ready: bool,
    },
    /// There is no process, and why.
    Failed(Problem),
    Exited(Exit),
    Answered(Question, bool),
    /// The pod is to go within this time.
    Delete(Duration),
    /// The manager ends: the process is to go within this time, the pod stays.
    Shutdown(Duration),
    /// No more time.
    Kill,
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Make the directories and start the process, then tell [`Event::Started`] or [`Event::Failed`].
    Start,
    /// Ask the process to end.
    Terminate(u32),
    /// End the process and all that it started.
    Kill(u32),
    /// Ask, then tell [`Event::Answered`].
    Ask(Question),
    /// Nothing runs any more: the pod can go.
    Remove,
    /// Nothing runs any more: the pod stays for the next run of the manager.
    Leave,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) enum State {
    Waiting { problem: Problem, again: Option<Duration> },
    BackOff { until: Duration, pause: Duration },
    Running(Running),
    Ending(Ending),
    Ended,
}

/// A process with its probes.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) started: Timestamp,
    pub(super) ready: bool,
    /// Whether the startup probe has passed.
    pub(super) up: bool,
    since: Duration,
    /// When something last happened that may make it ready soon.
    hope: Duration,
    asking: bool,
    main: Series,
    live: Series,
}

/// A process that is asked to end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) pid: u32,
    pub(super) started: Timestamp,
    deadline: Duration,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Restart,
    Leave,
    Remove,
}

/// The answers to one question.
#[derive(Clone, Copy, Debug)]
struct Series {
    next: Duration,
    failing: Option<(Duration, u32)>,
}

impl Series {
    fn from(next: Duration) -> Self {
        Self { next, failing: None }
    }

    /// Takes an answer. True when it has failed for as long and as often as the probe allows.
    fn take(&mut self, good: bool, probe: &Probe, now: Duration) -> bool {
        if good {
            self.failing = None;
            return false;
        }
        let (since, count) = self.failing.unwrap_or((now, 0));
        self.failing = Some((since, count + 1));
        // Probes may come faster than their period, so that counting alone would be impatient.
        count + 1 >= probe.failures && now.saturating_sub(since) >= probe.period * (probe.failures - 1)
    }
}

/// The agent of one pod.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    probes: Probes,
    grace: Duration,
    pub(super) state: State,
    pub(super) restarts: u32,
    pub(super) last: Option<Terminated>,
    /// Whether there was a process before.
    pub(super) ran: bool,
    /// Crashes in a row.
    crashes: u32,
}

impl Machine {
    /// A pod of which nothing is known to run.
    pub(super) fn new(probes: Probes, grace: Duration) -> Self {
        let state = State::Waiting { problem: Problem::creating(""), again: Some(Duration::ZERO) };
        Self { probes, grace, state, restarts: 0, last: None, ran: false, crashes: 0 }
    }

    /// When [`Event::Tick`] is wanted.
    pub(super) fn wake(&self) -> Option<Duration> {
        match &self.state {
            State::Waiting { again, .. } => *again,
            State::BackOff { until, .. } => Some(*until),
            State::Running(running) if running.asking => None,
            State::Running(running) if running.up => Some(running.main.next.min(running.live.next)),
            State::Running(running) => Some(running.main.next),
            State::Ending(ending) => Some(ending.deadline),
            State::Ended => None,
        }
    }

    /// Whether the agent is ready.
    pub(super) fn is_ready(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.ready)
    }

    /// Takes what happened and gives what is to be done, in order.
    pub(super) fn step(&mut self, event: Event, now: Now) -> Vec<Command> {
        match (&mut self.state, event) {
            (State::Waiting { again, .. }, Event::Changed) => {
                *again = None;
                vec![Command::Start]
            }
            (State::Waiting { again, .. }, Event::Tick) if again.is_some_and(|again| now.clock >= again) => {
                *again = None;
                vec![Command::Start]
            }
            (State::BackOff { until, .. }, Event::Tick) if now.clock >= *until => {
                self.state = State::Waiting { problem: Problem::creating(""), again: None };
                vec![Command::Start]
            }
            (State::Waiting { problem, again }, Event::Failed(found)) => {
                *problem = found;
                *again = Some(now.clock + RETRY);
                Vec::new()
            }
            (State::Waiting { .. }, Event::Started { pid, started, adopted, ready }) => {
                self.started(pid, started, adopted, ready, now)
            }
            (State::Waiting { .. } | State::BackOff { .. }, Event::Delete(_)) => self.end(Then::Remove),
            (State::Waiting { .. } | State::BackOff { .. }, Event::Shutdown(_) | Event::Kill) => self.end(Then::Leave),
            (State::Running(_), Event::Delete(grace)) => self.ask_to_end(grace, Then::Remove, now),
            (State::Running(_), Event::Shutdown(grace)) => self.ask_to_end(grace, Then::Leave, now),
            (State::Running(_), Event::Kill) => self.ask_to_end(Duration::ZERO, Then::Leave, now),
            (State::Running(running), Event::Exited(exit)) => {
                let started = running.started;
                let lasted = now.clock.saturating_sub(running.since);
                self.exited(exit, started, lasted, now)
            }
            (State::Running(running), Event::Changed) => {
                running.hope = now.clock;
                running.main.next = now.clock.min(running.main.next);
                Vec::new()
            }
            (State::Running(running), Event::Tick) => running.ask(&self.probes, now.clock),
            (State::Running(_), Event::Answered(question, good)) => self.answered(question, good, now),
            (State::Ending(ending), Event::Delete(grace)) => {
                ending.then = Then::Remove;
                ending.deadline = ending.deadline.min(now.clock + grace);
                Vec::new()
            }
            (State::Ending(ending), Event::Shutdown(grace)) => {
                if ending.then == Then::Restart {
                    ending.then = Then::Leave;
                }
                ending.deadline = ending.deadline.min(now.clock + grace);
                Vec::new()
            }
            (State::Ending(ending), Event::Kill) => {
                if ending.then == Then::Restart {
                    ending.then = Then::Leave;
                }
                vec![Command::Kill(ending.pid)]
            }
            (State::Ending(ending), Event::Tick) if now.clock >= ending.deadline => {
                ending.deadline = now.clock + Duration::from_secs(1);
                vec![Command::Kill(ending.pid)]
            }
            (State::Ending(ending), Event::Exited(exit)) => {
                let (then, started) = (ending.then, ending.started);
                match then {
                    Then::Restart => self.exited(exit, started, Duration::ZERO, now),
                    Then::Leave | Then::Remove => {
                        self.last = Some(Terminated { exit, started, finished: now.wall });
                        self.end(then)
                    }
                }
            }
            // What comes too late or too early says nothing.
            _ => Vec::new(),
        }
    }

    fn started(&mut self, pid: u32, started: Timestamp, adopted: bool, ready: bool, now: Now) -> Vec<Command> {
        if self.ran && !adopted {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.ran = true;
        let up = adopted || self.probes.startup.is_none();
        let mut running = Running {
            pid,
            started,
            ready,
            up,
            since: now.clock,
            hope: now.clock,
            asking: false,
            main: Series::from(now.clock),
            live: Series::from(now.clock + self.probes.live.delay + self.probes.live.period),
        };
        let commands = running.ask(&self.probes, now.clock);
        self.state = State::Running(running);
        commands
    }

    fn answered(&mut self, question: Question, good: bool, now: Now) -> Vec<Command> {
        let State::Running(running) = &mut self.state else { return Vec::new() };
        running.asking = false;
        let clock = now.clock;
        let sick = match question {
            Question::Startup => {
                let Some(probe) = &self.probes.startup else { return Vec::new() };
                running.up |= good;
                let patience = probe.delay + probe.period * probe.failures;
                running.main.next = if good { clock } else { clock + running.pause(probe, clock) };
                running.main.take(good, probe, clock) && clock.saturating_sub(running.since) >= patience
            }
            Question::Ready => {
                let failed = running.main.take(good, &self.probes.ready, clock);
                running.ready = good || (running.ready && !failed);
                running.main.next = clock + running.pause(&self.probes.ready, clock);
                false
            }
            Question::Live => {
                running.live.next = clock + self.probes.live.period;
                running.live.take(good, &self.probes.live, clock)
            }
        };
        if sick {
            return self.ask_to_end(self.grace, Then::Restart, now);
        }
        running.ask(&self.probes, clock)
    }

    fn ask_to_end(&mut self, grace: Duration, then: Then, now: Now) -> Vec<Command> {
        let State::Running(running) = &self.state else { return Vec::new() };
        let pid = running.pid;
        self.state = State::Ending(Ending { pid, started: running.started, deadline: now.clock + grace, then });
        if grace.is_zero() { vec![Command::Kill(pid)] } else { vec![Command::Terminate(pid)] }
    }

    /// The process ended although it should run.
    fn exited(&mut self, exit: Exit, started: Timestamp, lasted: Duration, now: Now) -> Vec<Command> {
        self.last = Some(Terminated { exit, started, finished: now.wall });
        if lasted >= SETTLED {
            self.crashes = 0;
        }
        let pause = pause_after(self.crashes);
        self.crashes = self.crashes.saturating_add(1);
        if pause.is_zero() {
            self.state = State::Waiting { problem: Problem::creating(""), again: None };
            return vec![Command::Start];
        }
        self.state = State::BackOff { until: now.clock + pause, pause };
        Vec::new()
    }

    fn end(&mut self, then: Then) -> Vec<Command> {
        self.state = State::Ended;
        vec![if then == Then::Remove { Command::Remove } else { Command::Leave }]
    }
}

impl Running {
    /// The next question that is due.
    fn ask(&mut self, probes: &Probes, now: Duration) -> Vec<Command> {
        let question = match probes.startup {
            _ if self.asking => return Vec::new(),
            Some(_) if !self.up => (now >= self.main.next).then_some(Question::Startup),
            _ if now >= self.main.next => Some(Question::Ready),
            _ => (now >= self.live.next).then_some(Question::Live),
        };
        self.asking = question.is_some();
        question.map(Command::Ask).into_iter().collect()
    }

    /// How long to wait for the next probe: what is about to become ready is asked often, and less so the longer it takes.
    fn pause(&self, probe: &Probe, now: Duration) -> Duration {
        if self.ready {
            return probe.period;
        }
        (now.saturating_sub(self.hope) / 10).clamp(SHORTEST_PROBE, probe.period)
    }
}

/// The first restart comes at once; then the pauses grow.
fn pause_after(crashes: u32) -> Duration {
    match crashes {
        0 => Duration::ZERO,
        crashes => Duration::from_secs(1 << (crashes - 1).min(9)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests;
