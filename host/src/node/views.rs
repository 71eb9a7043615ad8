//! Registers what runs for the API: sinks and transforms. Pipelines and sources show themselves.

use std::collections::BTreeMap;

use wstream_transform::Transform;

use super::core::Core;
use crate::config::Config;
use crate::running::{SinkView, TransformView};

/// Shows the declared sinks, and no others.
pub(super) fn register_sinks(core: &Core, old: &Config, new: &Config) {
    for name in old.sinks.keys().filter(|n| !new.sinks.contains_key(*n)) {
        core.running.remove_sink(name);
    }
    for (name, config) in &new.sinks {
        let metrics = core.metrics.sink(name);
        let (shown, kind, target) = (name.clone(), config.kind(), config.target());
        core.running.set_sink(name, move || SinkView {
            name: shown.clone(),
            kind,
            target: target.clone(),
            records: metrics.records.get(),
            bytes: metrics.bytes.get(),
            durable_lag: metrics.in_flight.get(),
        });
    }
}

/// What a pipeline's step is registered under: a module may serve in several pipelines.
fn key(pipeline: &str, step: usize) -> String {
    format!("{pipeline}/{step}")
}

/// Shows the transforms of a pipeline.
pub(super) fn register_transforms<'a>(
    core: &Core,
    pipeline: &str,
    transforms: impl Iterator<Item = &'a Transform>,
) {
    for (step, transform) in transforms.enumerate() {
        let (transform, pipeline_name) = (transform.clone(), pipeline.to_owned());
        core.running.set_transform(&key(pipeline, step), move || {
            view(&transform, &pipeline_name)
        });
    }
}

/// Forgets the transforms of a pipeline.
pub(super) fn forget_transforms(core: &Core, pipeline: &str) {
    core.running.remove_transforms(&format!("{pipeline}/"));
}

fn view(transform: &Transform, pipeline: &str) -> TransformView {
    let (module, stats) = (transform.module(), transform.stats());
    let failures: BTreeMap<_, _> = stats
        .failures
        .iter()
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect();
    TransformView {
        name: transform.name().to_owned(),
        version: transform.version().unwrap_or_default().to_owned(),
        kind: module.kind().name(),
        sha256: module.sha256_hex(),
        size: module.size().0,
        pipelines: vec![pipeline.to_owned()],
        records: stats.records,
        outputs: stats.outputs,
        failures,
        nanoseconds: stats.nanos,
        ns_per_record: stats.nanos.checked_div(stats.records).unwrap_or(0),
        memory_bytes: stats.memory.0,
        instances: stats.instances,
    }
}
