//! When the next backup is due. Pure: times in, times out.

use std::time::Duration;

use jiff::Timestamp;

use super::record::Record;

/// How long after a start the first backup is made at the earliest: the start itself has work to do.
const AFTER_START: Duration = Duration::from_secs(5);
/// The first wait after a failure; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait after a failure, where the interval is not shorter.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest that a backup is put off so that many managers do not push at once.
const LONGEST_JITTER: Duration = Duration::from_secs(300);

/// Returns when the next backup is due; `None` without an interval. `chance` is from 0 to 1 and the same for the life of a
/// process.
pub(super) fn next_due(
    record: &Record,
    interval: Option<Duration>,
    started: Timestamp,
    chance: f64,
) -> Option<Timestamp> {
    let interval = interval?;
    let soon = after(started, AFTER_START);
    let due = match (&record.failure, &record.last) {
        // A killed backup is made again at once.
        _ if record.running.is_some() => soon,
        (Some(failure), _) => {
            let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failure.attempts.saturating_sub(1).min(16)));
            let wait = doubled.min(LONGEST_WAIT).min(interval);
            after(failure.at, wait + wait.mul_f64(0.2 * chance))
        }
        (None, Some(last)) => after(last.at, interval + (interval / 20).min(LONGEST_JITTER).mul_f64(chance)),
        (None, None) => soon,
    };
    Some(due.max(soon))
}

/// Whether backups fail to come: none has succeeded for two intervals.
pub(super) fn is_overdue(record: &Record, interval: Option<Duration>, started: Timestamp, now: Timestamp) -> bool {
    let Some(interval) = interval else { return false };
    let last = record.last.as_ref().map_or(started, |last| last.at);
    now > after(last, interval.saturating_mul(2))
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::record::Success;
    use super::*;
    use crate::project::Revision;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn last(second: i64) -> Record {
        let mut record = Record::default();
        record.succeeded(Success {
            name: "x".to_owned(),
            at: at(second),
            revision: Revision::from_bytes([0; 20]),
            pushed: true,
            branch_refused: None,
        });
        record
    }

    #[test]
    fn the_next_backup_counts_from_the_last_one_and_not_from_the_start() {
        let started = at(1_000_000);
        assert_eq!(next_due(&last(990_000), Some(DAY), started, 0.0), Some(at(990_000 + 86_400)));
        assert_eq!(next_due(&last(100), Some(DAY), started, 0.0), Some(at(1_000_005)), "overdue");
        assert_eq!(next_due(&Record::default(), Some(DAY), started, 0.0), Some(at(1_000_005)));
        assert_eq!(next_due(&last(990_000), None, started, 0.0), None);
        let late = next_due(&last(990_000), Some(DAY), started, 1.0).unwrap();
        assert_eq!(late, at(990_000 + 86_400 + 300));
    }

    #[test]
    fn failures_are_tried_again_ever_later_and_a_killed_backup_at_once() {
        let started = at(0);
        let mut record = last(1000);
        let mut waits = Vec::new();
        for _ in 0..9 {
            record.failed(at(2000), String::new());
            waits.push(next_due(&record, Some(DAY), started, 0.0).unwrap().as_second() - 2000);
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        let hourly = Some(Duration::from_secs(600));
        assert_eq!(next_due(&record, hourly, started, 0.0), Some(at(2600)), "never later than the interval");
        record.running = Some(at(2000));
        assert_eq!(next_due(&record, Some(DAY), at(5000), 0.0), Some(at(5005)));
    }

    #[test]
    fn two_intervals_without_a_backup_are_too_long() {
        assert!(!is_overdue(&last(0), Some(DAY), at(0), at(2 * 86_400)));
        assert!(is_overdue(&last(0), Some(DAY), at(0), at(2 * 86_400 + 1)));
        assert!(is_overdue(&Record::default(), Some(DAY), at(0), at(2 * 86_400 + 1)));
        assert!(!is_overdue(&Record::default(), None, at(0), at(i64::from(i32::MAX))));
    }
}
