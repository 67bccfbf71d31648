use super::*;

fn probe(period: u64, failures: u32) -> Probe {
    Probe {
        path: "/x".to_owned(),
        delay: Duration::ZERO,
        period: Duration::from_secs(period),
        timeout: Duration::from_secs(1),
        failures,
    }
}

fn probes(startup: Option<Probe>) -> Probes {
    Probes { startup, live: probe(10, 3), ready: probe(10, 3) }
}

fn at(millis: u64) -> Now {
    Now { clock: Duration::from_millis(millis), wall: Timestamp::UNIX_EPOCH }
}

fn machine() -> Machine {
    let mut machine = Machine::new(probes(None), Duration::from_secs(30));
    assert_eq!(machine.step(Event::Tick, at(0)), [Command::Start]);
    machine
}

fn started(pid: u32) -> Event {
    Event::Started { pid, started: Timestamp::UNIX_EPOCH, adopted: false, ready: false }
}

fn exit(code: i32) -> Event {
    Event::Exited(Exit { code, signal: None, known: true })
}

/// Lets the time pass, answering every probe, until `end`. Gives the times of the probes and whatever else was commanded.
fn pass(machine: &mut Machine, from: u64, end: u64, answer: impl Fn(Question) -> bool) -> (Vec<u64>, Vec<Command>) {
    let (mut asked, mut other) = (Vec::new(), Vec::new());
    let mut now = from;
    let mut waiting: Vec<Command> = machine.step(Event::Tick, at(now));
    loop {
        while let Some(command) = waiting.pop() {
            match command {
                Command::Ask(question) => {
                    asked.push(now);
                    waiting.extend(machine.step(Event::Answered(question, answer(question)), at(now)));
                }
                command => other.push(command),
            }
        }
        // A timer wakes at the next whole millisecond.
        match machine.wake().map(|next| next.as_micros().div_ceil(1000) as u64) {
            Some(next) if next <= end => {
                assert!(next > now, "asked again without a pause at {now}");
                now = next;
            }
            _ => return (asked, other),
        }
        waiting = machine.step(Event::Tick, at(now));
    }
}

#[test]
fn a_start_is_asked_often_and_a_ready_agent_seldom() {
    let mut machine = machine();
    assert_eq!(machine.step(started(7), at(0)), [Command::Ask(Question::Ready)]);
    assert!(machine.step(Event::Answered(Question::Ready, false), at(10)).is_empty());
    let (asked, _) = pass(&mut machine, 10, 1_000, |_| false);
    assert!(asked.len() > 8, "{asked:?}");
    assert!(!machine.is_ready());
    let (asked, other) = pass(&mut machine, 1_000, 100_000, |_| true);
    assert!(machine.is_ready());
    assert!(asked.len() < 25, "{asked:?}");
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn what_does_not_get_ready_is_asked_less_and_less_until_something_changes() {
    let mut machine = machine();
    machine.step(started(7), at(0));
    machine.step(Event::Answered(Question::Ready, false), at(0));
    let unready = |question| question != Question::Ready;
    pass(&mut machine, 0, 200_000, unready);
    let (asked, _) = pass(&mut machine, 200_000, 260_000, unready);
    assert!(asked.len() <= 14, "{asked:?}");
    assert!(machine.step(Event::Changed, at(260_000)).is_empty());
    assert_eq!(machine.wake(), Some(at(260_000).clock), "new credentials are worth a question at once");
}

#[test]
fn a_ready_agent_stays_ready_until_it_has_failed_as_often_and_long_as_its_probe_says() {
    let mut machine = machine();
    machine.step(started(7), at(0));
    machine.step(Event::Answered(Question::Ready, true), at(0));
    pass(&mut machine, 0, 29_000, |question| question != Question::Ready);
    assert!(machine.is_ready(), "two failures are no three");
    pass(&mut machine, 29_000, 30_000, |question| question != Question::Ready);
    assert!(!machine.is_ready());
    assert!(matches!(machine.state, State::Running(_)), "and it is left running");
}

#[test]
fn an_agent_that_does_not_live_is_asked_to_end_and_is_started_again() {
    let mut machine = machine();
    machine.step(started(7), at(0));
    machine.step(Event::Answered(Question::Ready, true), at(0));
    let (_, other) = pass(&mut machine, 0, 31_000, |question| question != Question::Live);
    assert_eq!(other, [Command::Terminate(7)]);
    assert_eq!(machine.step(Event::Tick, at(50_000)), []);
    assert_eq!(machine.step(Event::Tick, at(61_000)), [Command::Kill(7)]);
    assert_eq!(machine.step(exit(137), at(62_000)), [Command::Start]);
    machine.step(started(8), at(62_000));
    assert_eq!(machine.restarts, 1);
}

#[test]
fn a_startup_probe_holds_the_others_back_and_gives_up_in_its_own_time() {
    let mut machine = Machine::new(probes(Some(probe(2, 5))), Duration::from_secs(30));
    machine.step(Event::Tick, at(0));
    assert_eq!(machine.step(started(7), at(0)), [Command::Ask(Question::Startup)]);
    assert!(machine.step(Event::Answered(Question::Startup, false), at(0)).is_empty());
    let (asked, other) = pass(&mut machine, 0, 9_900, |question| {
        assert_eq!(question, Question::Startup);
        false
    });
    assert!(other.is_empty(), "too early after {asked:?}");
    let (_, other) = pass(&mut machine, 9_900, 12_000, |_| false);
    assert_eq!(other, [Command::Terminate(7)]);

    let mut machine = Machine::new(probes(Some(probe(2, 5))), Duration::from_secs(30));
    machine.step(Event::Tick, at(0));
    machine.step(started(7), at(0));
    assert_eq!(machine.step(Event::Answered(Question::Startup, true), at(100)), [Command::Ask(Question::Ready)]);
}

#[test]
fn pauses_before_restarts_grow_and_end_with_a_long_run() {
    let mut machine = machine();
    let (mut now, mut pauses) = (0, Vec::new());
    for pid in 1..13 {
        machine.step(started(pid), at(now));
        machine.step(Event::Answered(Question::Ready, true), at(now));
        machine.step(exit(1), at(now));
        let pause = match &machine.state {
            State::BackOff { until, .. } => until.as_millis() as u64 - now,
            _ => 0,
        };
        if pause > 0 {
            assert!(machine.step(Event::Tick, at(now)).is_empty(), "not before its time");
            now += pause;
            assert_eq!(machine.step(Event::Tick, at(now)), [Command::Start]);
        }
        pauses.push(pause / 1000);
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(machine.restarts, 11);
    machine.step(started(99), at(now));
    assert_eq!(machine.step(exit(1), at(now + 600_000)), [Command::Start]);
}

#[test]
fn a_deleted_pod_goes_when_its_process_has_ended_and_not_before() {
    let mut machine = machine();
    machine.step(started(7), at(0));
    assert_eq!(machine.step(Event::Delete(Duration::from_secs(60)), at(1_000)), [Command::Terminate(7)]);
    assert_eq!(machine.step(Event::Answered(Question::Ready, true), at(1_000)), []);
    assert!(!machine.is_ready());
    assert_eq!(machine.step(Event::Tick, at(60_999)), []);
    assert_eq!(machine.step(Event::Tick, at(61_000)), [Command::Kill(7)]);
    assert_eq!(machine.step(exit(137), at(61_001)), [Command::Remove]);
    assert_eq!(machine.step(Event::Tick, at(70_000)), []);
}

#[test]
fn what_has_no_process_is_removed_or_left_at_once() {
    assert_eq!(machine().step(Event::Delete(Duration::from_secs(60)), at(1)), [Command::Remove]);
    assert_eq!(machine().step(Event::Shutdown(Duration::from_secs(60)), at(1)), [Command::Leave]);
}

#[test]
fn the_end_of_the_manager_ends_a_process_and_keeps_its_pod_unless_that_is_deleted() {
    let mut machine = machine();
    machine.step(started(7), at(0));
    let mut deleted = machine.clone();
    assert_eq!(machine.step(Event::Shutdown(Duration::from_secs(10)), at(0)), [Command::Terminate(7)]);
    assert_eq!(machine.step(Event::Kill, at(1)), [Command::Kill(7)]);
    assert_eq!(machine.step(exit(0), at(2)), [Command::Leave]);

    deleted.step(Event::Delete(Duration::from_secs(60)), at(0));
    deleted.step(Event::Shutdown(Duration::from_secs(10)), at(0));
    assert_eq!(deleted.step(Event::Tick, at(10_000)), [Command::Kill(7)], "the shorter time counts");
    assert_eq!(deleted.step(exit(0), at(10_001)), [Command::Remove]);
}

#[test]
fn an_adopted_process_is_no_restart_and_is_as_ready_as_it_was() {
    let mut machine = machine();
    machine.ran = true;
    machine.restarts = 2;
    machine.step(Event::Started { pid: 7, started: Timestamp::UNIX_EPOCH, adopted: true, ready: true }, at(0));
    assert!(machine.is_ready());
    assert_eq!(machine.restarts, 2);
}

#[test]
fn what_cannot_be_made_is_tried_again_at_a_change_and_now_and_then() {
    let mut machine = machine();
    assert_eq!(machine.step(Event::Failed(Problem::config("secret \"x\" not found")), at(0)), []);
    assert_eq!(machine.step(Event::Tick, at(9_999)), []);
    assert_eq!(machine.step(Event::Changed, at(9_999)), [Command::Start]);
    assert_eq!(machine.step(Event::Failed(Problem::run("no room")), at(10_000)), []);
    assert_eq!(machine.step(Event::Tick, at(20_000)), [Command::Start]);
}
