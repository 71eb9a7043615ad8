//! Files that the file names: inputs, modules, dashboards.

use std::path::{Path, PathBuf};

use super::Checker;
use crate::config::{dashboard_file, nearest};
use crate::pipeline::StepConfig;
use crate::sources::SourceConfig;

impl Checker<'_> {
    /// A source's file must be there, unless it is followed: then it may come later.
    pub(super) fn source_file(&mut self, name: &str, source: &SourceConfig) {
        let path = source.path();
        if source.follows() && !path.exists() {
            return;
        }
        self.file_exists(&["sources", name, "path"], path);
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

    /// A step's module must be there and be a module.
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
        self.file_exists(&named, path);
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
            self.report(&place, format!("{} {wrong}", path.display()), None);
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
