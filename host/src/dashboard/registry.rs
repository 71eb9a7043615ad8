//! Dashboards: what the page draws, read from JSON files, checked before they are shown.
//!
//! A file that is wrong is refused with its line; the dashboards known before stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Dashboards of one folder.
const DASHBOARDS_MAX: usize = 200;
/// Bytes of one dashboard's file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Panels of one dashboard.
const PANELS_MAX: usize = 50;
/// Columns a panel can span.
const COLUMNS: u8 = 12;

/// A page of panels over an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// The file's name without `.json`; the name in addresses.
    #[serde(skip)]
    pub name: String,
    /// What people read.
    pub title: String,
    /// The index (or pattern) of panels that do not name their own.
    pub index: String,
    /// The shortest time between two updates, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u64>,
    /// What is drawn, in reading order.
    pub panels: Vec<Panel>,
}

/// One chart: a query, an aggregation, and how to draw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Its name in addresses and events; letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What people read.
    pub title: String,
    /// One sentence below the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How the numbers are drawn.
    pub chart: Chart,
    /// Columns it spans, of twelve.
    pub width: u8,
    /// An index (or pattern) of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// An Elasticsearch query, or the text of a `query_string` query; everything without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// Elasticsearch aggregations; the number of documents without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggs: Option<Map<String, Value>>,
    /// What the page needs to know to draw it: labels, units, limits.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

/// How a panel's numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chart {
    /// Upright bars.
    Bar,
    /// Lying bars.
    Hbar,
    /// Lines; missing buckets are gaps.
    Line,
    /// Bars of parts.
    StackedBar,
    /// Bars over ranges of numbers.
    Histogram,
    /// Parts of a whole.
    Pie,
    /// One large number.
    Number,
    /// Rows.
    Table,
}

impl Panel {
    /// The index it asks.
    #[must_use]
    pub fn target<'a>(&'a self, dashboard: &'a Dashboard) -> &'a str {
        self.index.as_deref().unwrap_or(&dashboard.index)
    }

    /// The search that computes it, of the documents that a `filter` in query text leaves.
    #[must_use]
    pub fn search(&self, filter: Option<&str>) -> Value {
        let query = match &self.query {
            None => json!({"match_all": {}}),
            Some(Value::String(text)) => json!({"query_string": {"query": text}}),
            Some(query) => query.clone(),
        };
        let query = match filter {
            None => query,
            Some(text) => {
                json!({"bool": {"must": [query], "filter": [{"query_string": {"query": text}}]}})
            }
        };
        let mut body = json!({"size": 0, "track_total_hits": true, "query": query});
        if let Some(aggs) = &self.aggs {
            body["aggs"] = Value::Object(aggs.clone());
        }
        body
    }
}

/// A dashboard's file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The file or folder cannot be read.
    #[error("cannot read {file}: {error}", file = file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not JSON, or not a dashboard's.
    #[error("{file}:{line}:{column}: {message}", file = file.display())]
    Invalid {
        /// Which.
        file: PathBuf,
        /// Where in it, from 1; 0 when it is about the whole file.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

impl DashboardError {
    fn whole(file: &Path, message: String) -> Self {
        Self::Invalid {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        }
    }
}

impl Dashboard {
    /// Reads and checks one file; the dashboard is named after it.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, or does not describe a dashboard.
    pub fn read(file: &Path) -> Result<Self, DashboardError> {
        let unreadable = |error| DashboardError::Unreadable {
            file: file.to_owned(),
            error,
        };
        let length = std::fs::metadata(file).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            let message = format!("{length} bytes, more than {FILE_BYTES_MAX}");
            return Err(DashboardError::whole(file, message));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let mut dashboard: Self =
            serde_json::from_str(&text).map_err(|error| DashboardError::Invalid {
                file: file.to_owned(),
                line: error.line(),
                column: error.column(),
                message: plain(&error.to_string()),
            })?;
        dashboard.name = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        dashboard
            .check()
            .map_err(|message| DashboardError::whole(file, message))?;
        Ok(dashboard)
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!(
                "{:?} is no name: use letters, digits, '-', '_', '.'",
                self.name
            ));
        }
        if self.index.is_empty() {
            return Err("index is empty".to_owned());
        }
        if self.panels.len() > PANELS_MAX {
            return Err(format!(
                "{} panels, more than {PANELS_MAX}",
                self.panels.len()
            ));
        }
        let mut ids = BTreeSet::new();
        for panel in &self.panels {
            if !is_name(&panel.id) {
                return Err(format!(
                    "panel id {:?}: use letters, digits, '-', '_', '.'",
                    panel.id
                ));
            }
            if !ids.insert(panel.id.as_str()) {
                return Err(format!("two panels have the id {:?}", panel.id));
            }
            if !(1..=COLUMNS).contains(&panel.width) {
                return Err(format!(
                    "panel {:?}: width {} is not in 1 to {COLUMNS}",
                    panel.id, panel.width
                ));
            }
            let query = panel.query.as_ref();
            if query.is_some_and(|query| !query.is_string() && !query.is_object()) {
                return Err(format!(
                    "panel {:?}: query is neither an object nor text",
                    panel.id
                ));
            }
        }
        Ok(())
    }
}

/// The parser's message without its place, which is told apart.
fn plain(message: &str) -> String {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(text, _)| text)
        .to_owned()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The dashboards of a node. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Dashboards(Arc<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    known: RwLock<BTreeMap<String, Arc<Dashboard>>>,
    replaced: watch::Sender<u64>,
}

impl Dashboards {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all `*.json` of a folder; a folder that is not there has none.
    ///
    /// # Errors
    /// As for [`Dashboard::read`]: nothing is half read.
    pub fn read_folder(folder: &Path) -> Result<Vec<Dashboard>, DashboardError> {
        let unreadable = |error| DashboardError::Unreadable {
            file: folder.to_owned(),
            error,
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.map_err(unreadable)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(file);
            }
        }
        if files.len() > DASHBOARDS_MAX {
            let message = format!("{} dashboards, more than {DASHBOARDS_MAX}", files.len());
            return Err(DashboardError::whole(folder, message));
        }
        files.sort();
        files.iter().map(|file| Dashboard::read(file)).collect()
    }

    /// Puts these in place of those known. One that is the same stays the same object, so that
    /// open pages of it go on undisturbed.
    pub fn replace(&self, dashboards: Vec<Dashboard>) {
        let mut known = self.0.known.write();
        let mut next = BTreeMap::new();
        for dashboard in dashboards {
            let kept = known
                .remove(&dashboard.name)
                .filter(|before| **before == dashboard);
            let name = dashboard.name.clone();
            next.insert(name, kept.unwrap_or_else(|| Arc::new(dashboard)));
        }
        *known = next;
        self.0.replaced.send_modify(|count| *count += 1);
    }

    /// Changes when dashboards are put in place of others.
    #[must_use]
    pub fn replaced(&self) -> watch::Receiver<u64> {
        self.0.replaced.subscribe()
    }

    /// The dashboard of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Dashboard>> {
        self.0.known.read().get(name).cloned()
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Dashboard>> {
        self.0.known.read().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dashboard, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sales.json");
        std::fs::write(&file, text).unwrap();
        Dashboard::read(&file).map_err(|error| {
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "")
        })
    }

    const PANEL: &str = r#"{"id": "all", "title": "All", "chart": "number", "width": 3}"#;

    #[test]
    fn a_wrong_file_is_refused_where_it_is_wrong() {
        let rows = [
            ("{", "/sales.json:1:1: EOF while parsing an object"),
            (
                "{\"title\": \"t\",\n\"idex\": \"i\"}",
                "/sales.json:2:6: unknown field `idex`",
            ),
            (
                r#"{"title": "t", "index": "i"}"#,
                "/sales.json:1:28: missing field `panels`",
            ),
            (
                r#"{"title": "t", "index": "i", "panels": [{"id": "a", "title": "t", "chart": "bars", "width": 1}]}"#,
                "unknown variant `bars`, expected one of `bar`, `hbar`",
            ),
        ];
        for (text, wanted) in rows {
            let message = read(text).unwrap_err();
            assert!(message.contains(wanted), "{text}\n{message}");
        }
    }

    #[test]
    fn panels_are_checked() {
        let with = |panels: &str| {
            read(&format!(
                r#"{{"title": "t", "index": "i", "panels": [{panels}]}}"#
            ))
        };
        assert_eq!(with(PANEL).unwrap().name, "sales");
        let twice = format!("{PANEL}, {PANEL}");
        let wide = PANEL.replace("3}", "13}");
        let odd = PANEL.replace("\"all\"", "\"a b\"");
        let number = PANEL.replace("3}", "3, \"query\": 7}");
        for (panels, wanted) in [
            (&twice, "two panels have the id \"all\""),
            (&wide, "width 13 is not in 1 to 12"),
            (&odd, "panel id \"a b\""),
            (&number, "query is neither an object nor text"),
        ] {
            let message = with(panels).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn a_panel_becomes_a_search_without_hits() {
        let panel = |more: &str| -> Panel {
            serde_json::from_str(&PANEL.replace("3}", &format!("3{more}}}"))).unwrap()
        };
        let all = json!({"size": 0, "track_total_hits": true, "query": {"match_all": {}}});
        assert_eq!(panel("").search(None), all);
        let text = panel(r#", "query": "type:SHOW""#).search(None);
        assert_eq!(
            text["query"],
            json!({"query_string": {"query": "type:SHOW"}})
        );
        let full =
            panel(r#", "query": {"term": {"a": 1}}, "aggs": {"n": {"terms": {"field": "b"}}}"#);
        assert_eq!(full.search(None)["query"], json!({"term": {"a": 1}}));
        assert_eq!(
            full.search(None)["aggs"],
            json!({"n": {"terms": {"field": "b"}}})
        );
    }

    #[test]
    fn a_filter_is_added_to_the_query() {
        let panel: Panel = serde_json::from_str(PANEL).unwrap();
        let wanted = json!({"bool": {
            "must": [{"match_all": {}}],
            "filter": [{"query_string": {"query": "type:SHOW"}}],
        }});
        assert_eq!(panel.search(Some("type:SHOW"))["query"], wanted);
    }

    #[test]
    fn an_unchanged_dashboard_stays_the_same_object() {
        let read = |title: &str| {
            read(&format!(
                r#"{{"title": "{title}", "index": "i", "panels": []}}"#
            ))
            .unwrap()
        };
        let dashboards = Dashboards::new();
        dashboards.replace(vec![read("a")]);
        let first = dashboards.get("sales").unwrap();
        dashboards.replace(vec![read("a")]);
        assert!(Arc::ptr_eq(&first, &dashboards.get("sales").unwrap()));
        dashboards.replace(vec![read("b")]);
        assert_eq!(dashboards.get("sales").unwrap().title, "b");
        dashboards.replace(Vec::new());
        assert!(dashboards.list().is_empty());
    }

    #[test]
    fn the_example_is_a_dashboard_of_seven_charts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/netflix/dashboards");
        let read = Dashboards::read_folder(&folder).unwrap();
        let netflix = read
            .iter()
            .find(|dashboard| dashboard.name == "netflix")
            .unwrap();
        assert_eq!(netflix.index, "netflix-titles");
        assert_eq!(netflix.panels.len(), 7);
        assert!(
            Dashboards::read_folder(&folder.join("none"))
                .unwrap()
                .is_empty()
        );
    }
}
