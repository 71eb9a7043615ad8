//! Files that the file names: inputs, modules, dashboards.

use std::path::{Path, PathBuf};

use wstream_transform::{Kind, inspect};

use super::{Checker, table_key};
use crate::config::{dashboard_file, nearest};
use crate::pipeline::StepConfig;
use crate::sources::{self, SourceConfig, SourceError};

impl Checker<'_> {
    /// A source's file must be there, unless it is followed: then it may come later.
    pub(super) fn source_file(&mut self, name: &str, source: &SourceConfig) {
        let path = source.path();
        if source.follows() && !path.exists() {
            return;
        }
        let place = ["sources", name, "path"];
        if !self.file_exists(&place, path) {
            return;
        }
        match sources::look(source) {
            Ok(()) => {}
            Err(SourceError::Unusable { problem, hint, .. }) => {
                self.report(&place, format!("{}: {problem}", path.display()), hint);
            }
            Err(error) => self.report(&place, error.to_string(), None),
        }
    }

    /// Reports a file that is missing or is a folder; `true` if it is there.
    fn file_exists(&mut self, place: &[&str], path: &Path) -> bool {
        let shown = path.display();
        if path.is_dir() {
            self.report(
                place,
                format!("{shown} is a folder"),
                "name a file".to_owned(),
            );
            return false;
        }
        if path.exists() {
            return true;
        }
        let hint = neighbour(path).map_or_else(
            || "relative paths start at the folder of this file".to_owned(),
            |near| format!("did you mean {}?", near.display()),
        );
        self.report(place, format!("there is no file {shown}"), hint);
        false
    }

    /// A step's module must be there and be a module, and each of its outputs must go somewhere.
    pub(super) fn module(&mut self, place: &[&str], step: &StepConfig) {
        let path = Path::new(&step.module);
        let named = [place, &["module"]].concat();
        let is_built = path
            .parent()
            .is_some_and(|folder| folder.ends_with("transforms/dist"));
        if is_built && !path.exists() {
            let name = path.file_stem().unwrap_or_default().display();
            let message = format!("there is no file {}", path.display());
            return self.report(
                &named,
                message,
                format!("build it with `scripts/guests.sh {name}`"),
            );
        }
        if !self.file_exists(&named, path) {
            return;
        }
        let read = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"));
        match read.and_then(|bytes| inspect(&bytes).map_err(|error| error.to_string())) {
            Ok(module) => match module.kind {
                Kind::Redpanda => self.outputs(place, step, &step.topics_by_name()),
                Kind::WstreamV1 | Kind::Component => {
                    self.outputs(place, step, &module.metadata.outputs);
                }
            },
            Err(wrong) => {
                let hint = "build it with `wstream transform build`, and look at it with `wstream transform show`";
                self.report(
                    &named,
                    format!("{}: {wrong}", path.display()),
                    hint.to_owned(),
                );
            }
        }
    }

    /// The first output goes on; each further one must be routed, and nothing else can be.
    fn outputs(&mut self, place: &[&str], step: &StepConfig, outputs: &[String]) {
        let further = outputs.get(1..).unwrap_or_default();
        for output in further
            .iter()
            .filter(|output| !step.outputs.contains_key(*output))
        {
            let message = format!("output \"{output}\" of {} goes nowhere", step.module);
            let hint = format!(
                "add outputs = {{ {} = [\"a-sink\"] }} to the step",
                table_key(output)
            );
            self.report(&[place, &["module"]].concat(), message, hint);
        }
        for output in step
            .outputs
            .keys()
            .filter(|output| !further.contains(output))
        {
            let message = format!("{} has no further output \"{output}\"", step.module);
            let hint = match nearest(output, further.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if further.is_empty() => {
                    "it has only the output that goes on: remove this".to_owned()
                }
                None => format!("its further outputs: {}", further.join(", ")),
            };
            self.report(&[place, &["outputs", output]].concat(), message, hint);
        }
    }

    /// A dashboard's file must be there and be JSON.
    pub(super) fn dashboard(&mut self, sink: &str, name: &str) {
        let place = ["sinks", sink, "dashboard"];
        let path = dashboard_file(self.folder, name);
        if name.is_empty() || name.contains(['/', '\\']) {
            let hint = "write NAME for dashboards/NAME.json beside this file".to_owned();
            return self.report(&place, format!("\"{name}\" cannot name a dashboard"), hint);
        }
        if !self.file_exists(&place, &path) {
            return;
        }
        let read = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
        let parsed = read.and_then(|text| {
            serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text)
                .map_err(|error| format!("is not a JSON object: {error}"))
        });
        if let Err(wrong) = parsed {
            self.report(&place, format!("{}: {wrong}", path.display()), None);
        }
    }
}

/// The file in the same folder whose name is most like the missing one's.
fn neighbour(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near))
}
