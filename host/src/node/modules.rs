//! The modules that pipelines name by path: read, compiled once, put into service.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::value::RawValue;
use wstream_transform::{Cause, InitError, Limits, Module, Runtime, Transform};

use crate::config::{self, Config};
use crate::pipeline::{PipelineConfig, StepConfig};

/// Compiled modules by path. A file is read at each load, and compiled again when it changed.
#[derive(Debug)]
pub(super) struct Modules {
    runtime: Arc<Runtime>,
    by_path: BTreeMap<String, (Bytes, Module)>,
}

impl Modules {
    pub(super) fn new(runtime: Arc<Runtime>) -> Self {
        Self {
            runtime,
            by_path: BTreeMap::new(),
        }
    }

    /// The transforms of a pipeline's steps, in order, in service and not started.
    ///
    /// # Errors
    /// A file cannot be read or is not a module that runs here.
    pub(super) async fn load(
        &mut self,
        pipeline: &PipelineConfig,
    ) -> anyhow::Result<Vec<Transform>> {
        let mut transforms = Vec::new();
        for step in &pipeline.transforms {
            let module = self.module(&step.module).await?;
            let config = serde_json::to_string(&step.config)?;
            let config = RawValue::from_string(config)?;
            let name = name(&step.module, &module);
            transforms.push(Transform::new(&name, &module, Some(&config), limits(step)));
        }
        Ok(transforms)
    }

    /// Starts each transform of a pipeline once, so that settings which a module refuses are found
    /// before anything changes. `file` is where the pipeline is declared.
    ///
    /// # Errors
    /// A module refuses its settings, or does not start. Want of memory is no reason: there may be
    /// some later.
    pub(super) async fn try_out(
        pipeline: &str,
        transforms: &[Transform],
        file: Option<&Path>,
    ) -> anyhow::Result<()> {
        for (n, transform) in transforms.iter().enumerate() {
            let error = match transform.instantiate().await {
                Ok(_)
                | Err(InitError::Failed {
                    cause: Cause::Memory,
                    ..
                }) => continue,
                Err(error) => error,
            };
            let step = n.to_string();
            let message = format!("transform {}: {error}", transform.name());
            let (place, hint) = match error {
                InitError::Refused { .. } => (
                    "config",
                    "`wstream transform show MODULE` prints the settings that it knows",
                ),
                InitError::Failed { .. } => (
                    "module",
                    "`wstream transform test MODULE` runs it with no node",
                ),
            };
            let Some(file) = file else { bail!(message) };
            let path = ["pipelines", pipeline, "transforms", &step, place];
            return Err(config::problem_at(file, &path, message, hint).into());
        }
        Ok(())
    }

    async fn module(&mut self, path: &str) -> anyhow::Result<Module> {
        let wasm = tokio::fs::read(path).await;
        let wasm = Bytes::from(wasm.with_context(|| format!("cannot read module {path}"))?);
        if let Some((bytes, module)) = self.by_path.get(path)
            && *bytes == wasm
        {
            return Ok(module.clone());
        }
        let module = self.runtime.compile(wasm.clone()).await;
        let module = module.with_context(|| format!("module {path}"))?;
        self.by_path.insert(path.to_owned(), (wasm, module.clone()));
        Ok(module)
    }

    /// Forgets modules that no pipeline of `config` names.
    pub(super) fn forget_unused(&mut self, config: &Config) {
        let steps = config.pipelines.values().flat_map(|p| &p.transforms);
        let used: std::collections::BTreeSet<_> = steps.map(|s| s.module.as_str()).collect();
        self.by_path.retain(|path, _| used.contains(path.as_str()));
    }
}

/// The module's own name, else that of its file.
fn name(path: &str, module: &Module) -> String {
    let stem = Path::new(path)
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned());
    module
        .metadata()
        .name
        .clone()
        .or(stem)
        .unwrap_or_else(|| path.to_owned())
}

/// A step's limits as the guests' runtime takes them.
pub(super) fn limits(step: &StepConfig) -> Limits {
    Limits {
        record_time: step.limits.time_per_record.0,
        memory: step.limits.memory.0,
        output_bytes: step.limits.output_per_record.0,
        log_lines_per_second: step.limits.log_lines_per_second,
    }
}
