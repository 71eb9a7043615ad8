//! What the file declares, running: topics, sources, pipelines. An edit of the file changes only
//! what it changed.
//!
//! `apply` first prepares everything that can fail: modules are compiled, names resolved, topics
//! compared. Only then does it stop, start and change; so a bad edit leaves everything as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tracing::warn;
use wstream_log::{TopicInfo, TopicSpec};
use wstream_record::{ByteSize, TopicName};
use wstream_transform::Transform;

use super::core::Core;
use super::modules::{self, Modules};
use super::views;
use crate::config::{self, Config};
use crate::dashboard::{Dashboard, Dashboards};
use crate::pipeline::{
    LimitsConfig, Pipeline, PipelineConfig, PipelineDeps, PipelineState, Plan, Trial,
};
use crate::registry::Switch;
use crate::schemas::GuestSchemas;
use crate::sinks::{DashboardHook, SinkConfig, SinkDeps, Stdout};
use crate::sources::{
    self, Checkpoints, Pace, SourceConfig, SourceDeps, SourceHandle, SourceState,
};

/// Bytes that one sink of a pipeline may have taken and not made durable.
const NOT_DURABLE_BYTES_MAX: ByteSize = ByteSize::mib(64);

/// Everything of the file that runs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) config: Config,
    sources: BTreeMap<String, (SourceConfig, SourceHandle)>,
    pipelines: BTreeMap<String, (Key, Pipeline)>,
    pub(super) modules: Modules,
    checkpoints: Checkpoints,
    /// The trial that the pipelines which `apply` makes are part of.
    pub(super) trial: Option<Trial>,
    pub(super) switch: Switch,
}

/// What a pipeline was made of: it is replaced when any of this changes.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    config: PipelineConfig,
    sinks: Vec<(String, SinkConfig)>,
    modules: Vec<[u8; 32]>,
}

/// A file that can be applied.
struct Prepared {
    config: Config,
    topics: Vec<(TopicName, TopicSpec)>,
    dashboards: Vec<Dashboard>,
    plans: BTreeMap<String, (Key, Plan)>,
}

/// How everything ended by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// Records and rows that became dead letters.
    pub(super) dead_letters: u64,
    /// What failed, and why.
    pub(super) failed: Vec<String>,
}

impl Parts {
    /// Nothing runs yet.
    pub(super) async fn new(core: &Core, switch: Switch) -> anyhow::Result<Self> {
        let checkpoints = Checkpoints::open(&core.log, core.clock.clone()).await?;
        Ok(Self {
            config: Config::default(),
            sources: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            modules: Modules::new(
                Arc::clone(&core.runtime),
                Some(core.registry.clone()),
                Some(Arc::new(GuestSchemas::new(core.schemas.clone()))),
            ),
            checkpoints,
            trial: None,
            switch,
        })
    }

    /// Makes what runs what `config`, read from `file`, says.
    ///
    /// # Errors
    /// It cannot be; then everything is as before.
    pub(super) async fn apply(
        &mut self,
        core: &Core,
        config: Config,
        file: Option<&Path>,
    ) -> anyhow::Result<()> {
        let mut prepared = self.prepare(core, config, file).await?;
        for (name, spec) in std::mem::take(&mut prepared.topics) {
            match core.log.topic(&name) {
                None => core.log.create_topic(&name, spec).await?,
                Some(old) if old.spec() != spec => {
                    tell_forgotten(&old, &spec);
                    core.log.alter_topic(&name, spec).await?
                }
                Some(old) => old,
            };
        }
        self.release_topics(core, &prepared.config).await?;
        core.dashboards
            .replace(std::mem::take(&mut prepared.dashboards));
        self.replace_pipelines(core, &mut prepared).await;
        self.replace_sources(core, &prepared.config).await?;
        views::register_sinks(core, &self.config, &prepared.config);
        self.config = prepared.config;
        Ok(())
    }

    async fn prepare(
        &mut self,
        core: &Core,
        config: Config,
        file: Option<&Path>,
    ) -> anyhow::Result<Prepared> {
        let topics = topics(core, &config)?;
        let dashboards = dashboards(&config, file)?;
        let mut plans = BTreeMap::new();
        for (name, pipeline) in &config.pipelines {
            let modules = self.modules.load(name, pipeline, file).await?;
            let key = Key::new(pipeline, &config, &modules);
            if self
                .pipelines
                .get(name)
                .is_some_and(|(running, _)| *running == key)
            {
                continue;
            }
            Modules::try_out(name, &modules, file).await?;
            let mut plan = Plan::new(name, pipeline, modules, &config.sinks)?;
            if let Some(trial) = &self.trial
                && pipeline
                    .transforms
                    .iter()
                    .any(|step| step.module == trial.module())
            {
                plan.set_trial(trial.clone());
            }
            plans.insert(name.clone(), (key, plan));
        }
        self.modules.forget_unused(&config);
        Ok(Prepared {
            config,
            topics,
            dashboards,
            plans,
        })
    }

    /// Topics that the file no longer declares stay, and can then be changed over HTTP.
    async fn release_topics(&self, core: &Core, config: &Config) -> anyhow::Result<()> {
        for info in core.log.topics() {
            if info.config.defined_in_file && !config.topics.contains_key(&info.name) {
                let released = info.spec().defined_in_file(false);
                core.log.alter_topic(&info.name, released).await?;
            }
        }
        Ok(())
    }

    async fn replace_pipelines(&mut self, core: &Core, prepared: &mut Prepared) {
        let plans = std::mem::take(&mut prepared.plans);
        let gone = self.pipelines.keys().filter(|name| {
            plans.contains_key(*name) || !prepared.config.pipelines.contains_key(*name)
        });
        for name in gone.cloned().collect::<Vec<_>>() {
            if let Some((_, pipeline)) = self.pipelines.remove(&name) {
                core.running.remove_pipeline(&name);
                views::forget_transforms(core, &name);
                pipeline.stop().await;
            }
        }
        for (name, (key, plan)) in plans {
            views::register_transforms(core, &name, plan.transforms());
            let pipeline = Pipeline::start(plan, deps(core));
            core.running.set_pipeline(&name, pipeline.probe());
            self.pipelines.insert(name, (key, pipeline));
        }
        for (name, (_, pipeline)) in &self.pipelines {
            if let Some(config) = prepared.config.pipelines.get(name) {
                let steps = pipeline.plan().transforms().zip(&config.transforms);
                steps.for_each(|(transform, step)| transform.set_limits(modules::limits(step)));
            }
        }
    }

    async fn replace_sources(&mut self, core: &Core, config: &Config) -> anyhow::Result<()> {
        let names: Vec<_> = self.sources.keys().cloned().collect();
        for name in names {
            let same =
                |(running, _): &(SourceConfig, _)| config.sources.get(&name) == Some(running);
            if !self.sources.get(&name).is_some_and(same)
                && let Some((_, source)) = self.sources.remove(&name)
            {
                core.running.remove_source(&name);
                source.stop().await;
            }
        }
        for (name, source) in &config.sources {
            if self.sources.contains_key(name) {
                continue;
            }
            let deps = SourceDeps {
                log: core.log.clone(),
                checkpoints: self.checkpoints.clone(),
                clock: core.clock.clone(),
                metrics: core.metrics.clone(),
                pace: Pace::default(),
            };
            let handle = sources::start(name, source, &deps, &core.work)
                .with_context(|| format!("cannot start source {name}"))?;
            let shown = handle.clone();
            core.running.set_source(name, move || shown.status());
            self.sources.insert(name.clone(), (source.clone(), handle));
        }
        Ok(())
    }

    /// The sources' handles.
    pub(super) fn sources(&self) -> Vec<SourceHandle> {
        self.sources
            .values()
            .map(|(_, handle)| handle.clone())
            .collect()
    }

    /// Waits until every source is done and every pipeline has delivered all there is, pipelines
    /// that feed others first. Cancel-safe: called again it goes on where it was.
    pub(super) async fn finished(&self) -> Ending {
        let mut ending = Ending::default();
        for (name, (_, source)) in &self.sources {
            let status = source.finished().await;
            ending.dead_letters += status.bad_rows;
            if status.state == SourceState::Failed {
                let why = status.error.unwrap_or_default();
                ending.failed.push(format!("source {name}: {why}"));
            }
        }
        for level in self.levels() {
            level.iter().for_each(|pipeline| pipeline.drain());
            for pipeline in level {
                let state = pipeline.finished().await;
                let status = pipeline.status();
                ending.dead_letters += status.errors_total;
                if state == PipelineState::Failed {
                    let why = status.error.unwrap_or_default();
                    ending
                        .failed
                        .push(format!("pipeline {}: {why}", status.name));
                }
            }
        }
        ending
    }

    /// Pipelines in the order in which they can end: each after those whose records it reads.
    fn levels(&self) -> Vec<Vec<&Pipeline>> {
        let mut rest: Vec<&str> = self.pipelines.keys().map(String::as_str).collect();
        let mut levels = Vec::new();
        while !rest.is_empty() {
            let fed = |name: &str| {
                rest.iter()
                    .any(|other| *other != name && self.feeds(other, name))
            };
            let (later, mut now): (Vec<_>, Vec<_>) = rest.iter().partition(|name| fed(name));
            // A circle cannot be drained in order: `check` refuses it, and here it ends anyway.
            if now.is_empty() {
                now.clone_from(&rest);
            }
            levels.push(
                now.iter()
                    .filter_map(|n| self.pipelines.get(*n))
                    .map(|p| &p.1)
                    .collect(),
            );
            rest = if now.len() == rest.len() {
                Vec::new()
            } else {
                later
            };
        }
        levels
    }

    /// Whether pipeline `from` writes a topic that pipeline `to` reads.
    fn feeds(&self, from: &str, to: &str) -> bool {
        let pipelines = &self.config.pipelines;
        let (Some(from), Some(to)) = (pipelines.get(from), pipelines.get(to)) else {
            return false;
        };
        let sinks = from.sinks().filter_map(|s| self.config.sinks.get(s));
        let written = sinks.filter_map(|sink| match sink {
            SinkConfig::Topic(topic) => Some(topic.topic.as_str().to_owned()),
            _ => None,
        });
        let dead = from.from.iter().map(|t| match &from.dead_letter {
            Some(topic) => topic.as_str().to_owned(),
            None => format!("{t}.dlq"),
        });
        written
            .chain(dead)
            .any(|topic| to.from.iter().any(|t| t.as_str() == topic))
    }

    /// Stops sources, then pipelines, which commit what is durable.
    pub(super) async fn stop(&mut self) {
        let sources = self.sources.values().map(|(_, source)| source.stop());
        futures_util::future::join_all(sources).await;
        let pipelines = std::mem::take(&mut self.pipelines);
        let stopping = pipelines.into_values().map(|(_, pipeline)| pipeline.stop());
        futures_util::future::join_all(stopping).await;
    }
}

impl Key {
    fn new(pipeline: &PipelineConfig, config: &Config, modules: &[Transform]) -> Self {
        let mut pipeline = pipeline.clone();
        // Limits change while a pipeline runs.
        for step in &mut pipeline.transforms {
            step.limits = LimitsConfig::default();
        }
        let names: BTreeSet<_> = pipeline.sinks().cloned().collect();
        let sinks = names
            .into_iter()
            .filter_map(|n| Some((n.clone(), config.sinks.get(&n)?.clone())));
        let sinks = sinks.collect();
        let modules = modules.iter().map(|t| t.module().sha256()).collect();
        Self {
            config: pipeline,
            sinks,
            modules,
        }
    }
}

/// What the file asks of the topics that it declares; fewer partitions than there are is an error.
fn topics(core: &Core, config: &Config) -> anyhow::Result<Vec<(TopicName, TopicSpec)>> {
    let mut topics = Vec::new();
    for (name, declared) in &config.topics {
        let old = core.log.topic(name);
        let has = old.as_ref().map_or(0, |old| old.config.partitions);
        if has > declared.partitions {
            bail!(
                "topic {name} has {has} partitions, which cannot become {}: keys would move; \
                 declare at least {has}, or another topic",
                declared.partitions,
            );
        }
        let spec = declared.spec();
        spec.resolve().with_context(|| format!("topic {name}"))?;
        topics.push((name.clone(), spec));
    }
    Ok(topics)
}

/// Says which settings, made before the file declared the topic or by an earlier file, go back to
/// their defaults.
fn tell_forgotten(old: &TopicInfo, spec: &TopicSpec) {
    for (setting, value) in &old.overrides {
        if !spec.overrides.contains_key(setting) {
            let topic = &old.name;
            warn!(%topic, setting, value, "the file does not name the setting, which has its default now");
        }
    }
}

/// The dashboards beside the file; each that a sink names must be there.
pub(super) fn dashboards(config: &Config, file: Option<&Path>) -> anyhow::Result<Vec<Dashboard>> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let folder = config::folder_of(file).join("dashboards");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let found = Dashboards::read_folder(&folder)?;
    for (name, sink) in &config.sinks {
        if let SinkConfig::Dashboard(sink) = sink
            && !found.iter().any(|d| d.name == sink.dashboard)
        {
            let path = folder.join(format!("{}.json", sink.dashboard));
            bail!(
                "sink {name} names dashboard {:?}: there is no {}",
                sink.dashboard,
                path.display()
            );
        }
    }
    Ok(found)
}

fn deps(core: &Core) -> PipelineDeps {
    let dashboards = core.dashboards.clone();
    let hook = DashboardHook::new(move |name| match dashboards.get(name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "there is no dashboard {name:?}: write dashboards/{name}.json"
        )),
    });
    PipelineDeps {
        offsets: core.offsets.clone(),
        sinks: SinkDeps {
            log: core.log.clone(),
            search: core.search.clone(),
            dashboards: hook,
            metrics: core.metrics.clone(),
            clock: core.clock.clone(),
            stdout: Stdout::process(),
        },
        not_durable_bytes_max: NOT_DURABLE_BYTES_MAX,
        shutdown: core.work.clone(),
    }
}
