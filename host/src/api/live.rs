//! `GET /live`: everything the page shows, pushed when it changes, at most four times a second.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;

use super::ApiState;
use super::stats::Stats;
use crate::http::event_stream;

/// Shortest time between two pushes.
const PUSH_INTERVAL: Duration = Duration::from_millis(250);
/// Longest time between two pushes.
const SILENCE_MAX: Duration = Duration::from_secs(5);

pub(super) async fn live(State(state): State<ApiState>) -> Response {
    let (events, response) = event_stream(&state.shutdown);
    let shutdown = state.shutdown.clone();
    state.shutdown.clone().spawn(async move {
        let mut tick = tokio::time::interval(PUSH_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Option<(Duration, Stats)> = None;
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                () = events.gone() => return,
                _ = tick.tick() => {}
            }
            let now = state.clock.monotonic();
            let stats = Stats::collect(&state);
            let push = last
                .as_ref()
                .is_none_or(|(at, before)| *at + SILENCE_MAX <= now || stats.differs(before));
            if !push {
                continue;
            }
            let Ok(text) = serde_json::to_string(&stats) else {
                return;
            };
            if events.send("stats", &text).await.is_err() {
                return;
            }
            last = Some((now, stats));
        }
    });
    response
}
