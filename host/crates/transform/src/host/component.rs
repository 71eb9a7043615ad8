//! The interfaces `host` and `state` of the world `wstream:transform/transform`.

use std::time::Duration;

use tracing::Level as LogLevel;

use crate::failure::{MESSAGE_BYTES_MAX, text};
use crate::guest::{ComponentState, component_host as host, component_state as state};
use crate::keyed::WRITER_UNKNOWN;

use super::wstream::METRIC_NAME_BYTES_MAX;

impl host::Host for ComponentState {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Trace => LogLevel::TRACE,
            host::Level::Debug => LogLevel::DEBUG,
            host::Level::Info => LogLevel::INFO,
            host::Level::Warn => LogLevel::WARN,
            host::Level::Error => LogLevel::ERROR,
        };
        self.host
            .log(level, text(message.as_bytes(), MESSAGE_BYTES_MAX));
    }

    fn metric(&mut self, kind: host::MetricKind, name: String, value: f64) {
        let kind = match kind {
            host::MetricKind::Counter => 0,
            host::MetricKind::Gauge => 1,
            host::MetricKind::Histogram => 2,
        };
        let name = text(name.as_bytes(), METRIC_NAME_BYTES_MAX);
        self.host.metrics.update(kind, &name, value);
    }

    fn now_ms(&mut self) -> i64 {
        self.host.clock.now().0
    }
}

impl state::Host for ComponentState {
    fn get(&mut self, key: Vec<u8>) -> Option<Vec<u8>> {
        self.host.keyed.get(&key).map(Vec::from)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ttl_ms: u64) -> Result<(), String> {
        let ttl = (ttl_ms > 0).then_some(Duration::from_millis(ttl_ms));
        let put = self.host.keyed.put(WRITER_UNKNOWN, &key, &value, ttl);
        put.map_err(|error| error.to_string())
    }

    fn delete(&mut self, key: Vec<u8>) -> bool {
        self.host.keyed.delete(WRITER_UNKNOWN, &key)
    }

    fn scan(
        &mut self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let after = after.unwrap_or_default();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = self.host.keyed.scan(&prefix, &after, limit);
        let own = |(key, value)| (Vec::from(key), Vec::from(value));
        found.into_iter().map(own).collect()
    }
}
