//! The clocks of a call, on a clock that the test moves.

use wstream_record::ManualClock;

use super::*;
use crate::executor::Stopwatch;
use crate::keyed::{KeyedState, StateLimits};
use crate::state::{HostState, Stopped};

const LIMIT: Duration = Duration::from_millis(200);

/// The state of an instance in a call of so many records.
async fn in_call(clock: &ManualClock, records: u32) -> HostState {
    let config = RuntimeConfig {
        clock: clock.clock(),
        ..RuntimeConfig::default()
    };
    let limits = Limits {
        record_time: LIMIT,
        ..Limits::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let transform = transform(&runtime, SMALLEST, limits).await;
    let stopwatch = Arc::new(Stopwatch::new(clock.clock()));
    let keyed = KeyedState::new(StateLimits::default(), clock.clock());
    let mut state = HostState::new(transform.shared, keyed, stopwatch, Arc::default());
    state.begin_call(records);
    state
}

fn goes_on(state: &mut HostState) -> bool {
    state.check_time().is_ok()
}

#[tokio::test]
async fn a_records_clock_starts_when_its_index_is_seen() {
    let clock = ManualClock::default();
    let mut state = in_call(&clock, 16).await;
    for index in 0..16 {
        state.saw(index);
        clock.advance(LIMIT - Duration::from_millis(1));
        assert!(goes_on(&mut state), "record {index}");
    }
    clock.advance(Duration::from_millis(1));
    assert!(!goes_on(&mut state));
    assert_eq!(state.told.stopped, Some(Stopped::Timeout));
}

#[tokio::test]
async fn an_index_that_was_seen_or_is_out_of_range_starts_nothing() {
    let clock = ManualClock::default();
    // Below, again, beyond the call, and "none".
    for index in [0, 1, 3, 1000, u32::MAX] {
        let mut state = in_call(&clock, 3).await;
        state.saw(1);
        clock.advance(LIMIT / 2);
        state.saw(index);
        clock.advance(LIMIT / 2);
        assert!(!goes_on(&mut state), "index {index}");
    }
}

#[tokio::test]
async fn a_call_without_a_cursor_has_the_time_of_one_record() {
    let clock = ManualClock::default();
    let mut state = in_call(&clock, 1000).await;
    clock.advance(LIMIT - Duration::from_millis(1));
    assert!(goes_on(&mut state));
    clock.advance(Duration::from_millis(1));
    assert!(!goes_on(&mut state));
}

#[tokio::test]
async fn a_changed_limit_holds_at_once() {
    let clock = ManualClock::default();
    let mut state = in_call(&clock, 1).await;
    clock.advance(LIMIT);
    state.shared.limits.set(Limits {
        record_time: LIMIT * 2,
        ..Limits::default()
    });
    assert!(goes_on(&mut state));
    clock.advance(LIMIT);
    assert!(!goes_on(&mut state));
}
