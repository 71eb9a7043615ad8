//! The modules that pipelines name, by path or as they are registered: read, compiled once, put into
//! service.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::value::RawValue;
use wstream_record::TopicName;
use wstream_transform::{
    Cause, InitError, Limits, Module, Runtime, SchemaRegistry, Service, Transform,
};

use crate::config::{self, Config};
use crate::pipeline::{PipelineConfig, StepConfig};
use crate::registry::{Reference, Registry};

/// Compiled modules by path. A file is read at each load, and compiled again when it changed.
#[derive(Debug)]
pub(super) struct Modules {
    runtime: Arc<Runtime>,
    registry: Option<Registry>,
    schemas: Option<Arc<dyn SchemaRegistry>>,
    by_path: BTreeMap<String, (Bytes, Module)>,
}

impl Modules {
    /// Without a registry, registered modules are not looked at; without one of schemas, modules
    /// that ask for schemas are told so.
    pub(super) fn new(
        runtime: Arc<Runtime>,
        registry: Option<Registry>,
        schemas: Option<Arc<dyn SchemaRegistry>>,
    ) -> Self {
        Self {
            runtime,
            registry,
            schemas,
            by_path: BTreeMap::new(),
        }
    }

    /// The transforms of a pipeline's steps, in order, in service and not started.
    ///
    /// # Errors
    /// A file cannot be read or is not a module that runs here.
    pub(super) async fn load(
        &mut self,
        name: &str,
        pipeline: &PipelineConfig,
        file: Option<&Path>,
    ) -> anyhow::Result<Vec<Transform>> {
        let mut transforms = Vec::new();
        for (n, step) in pipeline.transforms.iter().enumerate() {
            let (module, version) = match self.module(&step.module).await {
                Ok(found) => found,
                Err(error) => return Err(unloaded(error, name, n, &step.module, file)),
            };
            let config = serde_json::to_string(&step.config)?;
            let config = RawValue::from_string(config)?;
            let shown = shown_name(&step.module, &module);
            let service = Service {
                config: Some(&config),
                limits: limits(step),
                version: version.map(|version| version.to_string()),
                input_topic: pipeline.from.first().map(TopicName::as_str),
                output_topics: step.topics_by_name(),
                schemas: self.schemas.clone(),
            };
            transforms.push(Transform::with(&shown, &module, service));
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

    /// A module, and its version if it is a registered one.
    async fn module(&mut self, path: &str) -> anyhow::Result<(Module, Option<u64>)> {
        let (version, wasm) = if config::names_a_file(path) {
            let wasm = tokio::fs::read(path).await;
            let wasm = wasm.with_context(|| format!("cannot read module {path}"))?;
            (None, Bytes::from(wasm))
        } else {
            let registry = self.registry.as_ref();
            let registry = registry.context("registered modules are the node's")?;
            let (version, wasm) = registry.bytes(&Reference::parse(path)?).await?;
            (Some(version), wasm)
        };
        if let Some((bytes, module)) = self.by_path.get(path)
            && *bytes == wasm
        {
            return Ok((module.clone(), version));
        }
        let module = self.runtime.compile(wasm.clone()).await;
        let module = module.with_context(|| format!("module {path}"))?;
        self.by_path.insert(path.to_owned(), (wasm, module.clone()));
        Ok((module, version))
    }

    /// Forgets modules that no pipeline of `config` names.
    pub(super) fn forget_unused(&mut self, config: &Config) {
        let steps = config.pipelines.values().flat_map(|p| &p.transforms);
        let used: std::collections::BTreeSet<_> = steps.map(|s| s.module.as_str()).collect();
        self.by_path.retain(|path, _| used.contains(path.as_str()));
    }
}

/// An error at the place of the module's name in the file.
fn unloaded(
    error: anyhow::Error,
    pipeline: &str,
    step: usize,
    module: &str,
    file: Option<&Path>,
) -> anyhow::Error {
    let Some(file) = file else { return error };
    let hint = if config::names_a_file(module) {
        "`wstream transform show FILE` looks at a module".to_owned()
    } else {
        format!(
            "upload it with `wstream transform push {module} FILE`, or write the path of a file"
        )
    };
    let step = step.to_string();
    let path = ["pipelines", pipeline, "transforms", &step, "module"];
    config::problem_at(file, &path, format!("{error:#}"), &hint).into()
}

/// The name it is registered under; of a file the module's own name, else the file's.
fn shown_name(path: &str, module: &Module) -> String {
    if !config::names_a_file(path) {
        return path.split('@').next().unwrap_or(path).to_owned();
    }
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
