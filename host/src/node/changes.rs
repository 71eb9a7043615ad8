//! Changes of modules while the node runs: activated, put on trial, brought back, run beside a
//! pipeline, deleted. A change is made whole or not at all.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info, warn};
use wstream_record::TopicName;
use wstream_transform::Transform;

use super::core::Core;
use super::modules::Modules;
use super::parts::Parts;
use crate::config;
use crate::pipeline::{
    PipelineConfig, Plan, Rehearsal, RehearsalPlan, RehearsalStart, Trial, TrialLimits, Verdict,
};
use crate::registry::{
    Change, From, Reference, Refusal, Registry, RehearsalTerms, Switch, TrialTerms,
};

impl Parts {
    /// Makes a change of a module: pipelines that name it without a version go on with the new one
    /// from the next batch, or nothing changes.
    pub(super) async fn change(
        &mut self,
        core: &Core,
        change: Change,
        file: Option<&Path>,
    ) -> Result<(), Refusal> {
        match change {
            Change::Activate {
                name,
                version,
                trial,
            } => self.activate(core, (name, version), trial, file).await,
            Change::Rehearse {
                name,
                version,
                terms,
            } => self.rehearse(core, &name, version, terms).await,
            Change::Delete { name } => {
                let pipelines = self.users(&name);
                if !pipelines.is_empty() {
                    return Err(Refusal::InUse { name, pipelines });
                }
                core.registry.delete(&name).await?;
                core.running.forget_module(&name);
                Ok(())
            }
        }
    }

    async fn activate(
        &mut self,
        core: &Core,
        (name, version): (String, u64),
        terms: Option<TrialTerms>,
        file: Option<&Path>,
    ) -> Result<(), Refusal> {
        let entry = core.registry.get(&name)?;
        let before = entry.settled;
        // Nothing is on trial that is what there was.
        let terms = terms.filter(|_| before != version);
        match terms {
            // Should the node end before the verdict, it begins with the version before.
            Some(_) => core.registry.put_on_trial(&name, version).await?,
            None => core.registry.activate(&name, version).await?,
        };
        let trial = terms.map(|terms| {
            let limits = TrialLimits {
                records: terms.records,
                failed_percent: terms.failed_percent,
                time: terms.time,
            };
            Trial::new(&name, limits)
        });
        self.trial.clone_from(&trial);
        let applied = self.apply(core, self.config.clone(), file).await;
        self.trial = None;
        if let Err(error) = applied {
            core.registry.restore(&entry).await?;
            return Err(Refusal::Unfit(format!("{error:#}")));
        }
        if let Some(trial) = trial {
            let shown = trial.clone();
            core.running.set_trial(&name, move || shown.status());
            let back = (name, version, before);
            let ways = (core.registry.clone(), self.switch.clone());
            core.work
                .clone()
                .spawn(end_trial(trial, back, ways, core.work.clone()));
        }
        Ok(())
    }

    /// Pipelines that name a registered module.
    fn users(&self, name: &str) -> Vec<String> {
        let pipelines = self.config.pipelines.iter();
        let using = pipelines.filter(|(_, pipeline)| step_of(pipeline, name).is_some());
        using.map(|(pipeline, _)| pipeline.clone()).collect()
    }

    async fn rehearse(
        &mut self,
        core: &Core,
        module: &str,
        version: u64,
        terms: RehearsalTerms,
    ) -> Result<(), Refusal> {
        let pipeline = self.rehearsed(module, terms.pipeline.as_deref())?;
        let unfit = |error: anyhow::Error| Refusal::Unfit(format!("{error:#}"));
        let config = self.config.pipelines.get(&pipeline).cloned();
        let mut config = config.ok_or_else(|| Refusal::Unfit(format!("no pipeline {pipeline}")))?;
        let step = step_of(&config, module).unwrap_or(0);
        config.transforms.truncate(step + 1);
        let service = match terms.from {
            None => Some(
                self.modules
                    .load(&pipeline, &config, None)
                    .await
                    .map_err(unfit)?,
            ),
            Some(_) => None,
        };
        if let Some(last) = config.transforms.last_mut() {
            last.module = format!("{module}@{version}");
        }
        let transforms = self
            .modules
            .load(&pipeline, &config, None)
            .await
            .map_err(unfit)?;
        Modules::try_out(&pipeline, &transforms, None)
            .await
            .map_err(unfit)?;
        let plan = |transforms: Vec<Transform>| {
            Arc::new(Plan::rehearsal(&pipeline, &config.from, transforms))
        };
        check_into(&config.from, terms.into.as_ref())?;
        let plan = RehearsalPlan {
            version: plan(transforms),
            service: service.map(plan),
            start: match terms.from {
                None => RehearsalStart::Live,
                Some(From::Offset(offset)) => RehearsalStart::Offset(offset),
                Some(From::Time(time)) => RehearsalStart::Time(time),
            },
            into: terms.into,
            records_max: terms.records_max,
            time_max: terms.time_max,
        };
        let started = Rehearsal::start(plan, core.log.clone(), core.work.clone()).await;
        let rehearsal = started.map_err(|error| Refusal::Unfit(error.to_string()))?;
        core.running
            .set_rehearsal(module, move || rehearsal.report());
        Ok(())
    }

    /// The pipeline beside which a module is run.
    fn rehearsed(&self, module: &str, named: Option<&str>) -> Result<String, Refusal> {
        let users = self.users(module);
        let fits = |pipeline: &String| named.is_none_or(|named| named == pipeline);
        let fitting: Vec<&String> = users.iter().filter(|user| fits(user)).collect();
        match fitting.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let message = match named {
                    Some(named) => format!("pipeline {named} does not use module {module}"),
                    None => format!("no pipeline uses module {module}"),
                };
                Err(Refusal::Unfit(message))
            }
            many => {
                let names: Vec<_> = many.iter().map(|name| name.as_str()).collect();
                let names = names.join(", ");
                let message = format!("module {module} is used by {names}: name one of them");
                Err(Refusal::Unfit(message))
            }
        }
    }
}

/// A replay into what it reads would never end.
fn check_into(from: &[TopicName], into: Option<&TopicName>) -> Result<(), Refusal> {
    match into {
        Some(into) if from.contains(into) => {
            let message = format!("the pipeline reads topic {into}: name another one");
            Err(Refusal::Unfit(message))
        }
        _ => Ok(()),
    }
}

/// The step of a pipeline that names a registered module.
fn step_of(pipeline: &PipelineConfig, module: &str) -> Option<usize> {
    pipeline.transforms.iter().position(|step| {
        !config::names_a_file(&step.module)
            && Reference::parse(&step.module).is_ok_and(|reference| reference.name == module)
    })
}

/// Waits for a trial's verdict: a good one makes the version last, a bad one brings the version
/// before back.
async fn end_trial(
    trial: Trial,
    (name, version, before): (String, u64, u64),
    (registry, switch): (Registry, Switch),
    stop: crate::shutdown::Shutdown,
) {
    let verdict = tokio::select! {
        () = stop.asked() => return,
        verdict = trial.decided() => verdict,
    };
    let status = trial.status();
    let (records, failed) = (status.records, status.failed);
    if verdict == Verdict::Passed {
        info!(
            module = name,
            version, records, failed, "the trial is passed"
        );
        if let Err(error) = registry.settle(&name, version).await {
            error!(module = name, version, %error, "the version will not be active after a restart");
        }
        return;
    }
    warn!(
        module = name,
        version,
        records,
        failed,
        back_to = before,
        "too many records failed on trial: the version before is brought back"
    );
    let change = Change::Activate {
        name: name.clone(),
        version: before,
        trial: None,
    };
    if let Err(error) = switch.ask(change).await {
        error!(module = name, %error, "could not bring the version before back");
    }
}
