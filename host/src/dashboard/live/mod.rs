//! Keeps the panels of open pages up to date: a panel is computed again after a commit of its
//! index, at most four times a second, and sent only if it changed.
//!
//! One task per dashboard works for all its pages and ends with the last of them. A page that
//! reads slowly misses what came in between, never the newest. Nothing is computed while no
//! page is open.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use wstream_search::Search;

use super::registry::{Dashboard, Dashboards, Panel};
use crate::shutdown::Shutdown;

/// Pages that can be open at once.
pub const PAGES_MAX: usize = 50;
/// Shortest time between two computations of a dashboard.
const RUN_INTERVAL: Duration = Duration::from_millis(250);
/// How often indices that may have appeared are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// More pages than [`PAGES_MAX`] want to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{PAGES_MAX} pages are open, which is the most")]
pub struct TooManyPages;

/// Computes panels. Clones share the work.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    search: Search,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    working: Mutex<HashMap<Key, Working>>,
}

/// A dashboard's name and the filter on it.
type Key = (String, Option<String>);

#[derive(Debug)]
struct Working {
    dashboard: Arc<Dashboard>,
    panels: watch::Sender<Panels>,
}

/// The newest answer of each panel, in the dashboard's order. Empty before the first run.
type Panels = Arc<Vec<Answer>>;

/// A panel's answer; `version` grows when it changes.
#[derive(Debug, Clone)]
struct Answer {
    version: u64,
    event: Arc<str>,
}

/// The updates of one open page. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Pages {
    panels: watch::Receiver<Panels>,
    seen: Vec<u64>,
    _place: OwnedSemaphorePermit,
}

impl Pages {
    /// The panels that changed since the last call, as `{"id", "result"}` or `{"id", "error"}`
    /// on one line each; all of them at first. `None` when the dashboard is no more. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Vec<Arc<str>>> {
        loop {
            self.panels.changed().await.ok()?;
            let panels = Arc::clone(&self.panels.borrow_and_update());
            self.seen.resize(panels.len(), 0);
            let mut changed = Vec::new();
            for (answer, seen) in panels.iter().zip(&mut self.seen) {
                if answer.version > *seen {
                    *seen = answer.version;
                    changed.push(Arc::clone(&answer.event));
                }
            }
            if !changed.is_empty() {
                return Some(changed);
            }
        }
    }
}

impl Live {
    /// Computes panels with `search`, in tasks of `shutdown`.
    #[must_use]
    pub fn new(search: Search, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            search,
            shutdown,
            places: Arc::new(Semaphore::new(PAGES_MAX)),
            working: Mutex::default(),
        }))
    }

    /// Computes all panels once, of the documents that `filter` leaves:
    /// `{id: {"result"} | {"error"}}`.
    pub async fn data(&self, dashboard: &Dashboard, filter: Option<&str>) -> Map<String, Value> {
        let mut panels = Map::new();
        for panel in &dashboard.panels {
            panels.insert(
                panel.id.clone(),
                run(&self.0.search, dashboard, panel, filter).await,
            );
        }
        panels
    }

    /// Opens a page of a dashboard, of the documents that `filter` (query text) leaves; its panels
    /// arrive through the result.
    ///
    /// # Errors
    /// [`PAGES_MAX`] pages are open.
    pub fn open(
        &self,
        dashboards: &Dashboards,
        dashboard: &Arc<Dashboard>,
        filter: Option<&str>,
    ) -> Result<Pages, TooManyPages> {
        let place = Arc::clone(&self.0.places)
            .try_acquire_owned()
            .map_err(|_| TooManyPages)?;
        let mut working = self.0.working.lock();
        let key = (dashboard.name.clone(), filter.map(str::to_owned));
        let mut panels = match working.get(&key) {
            Some(known) if Arc::ptr_eq(&known.dashboard, dashboard) => known.panels.subscribe(),
            _ => {
                let (sender, receiver) = watch::channel(Panels::default());
                let task = Task {
                    inner: Arc::clone(&self.0),
                    dashboards: dashboards.clone(),
                    dashboard: Arc::clone(dashboard),
                    key: key.clone(),
                    panels: sender.clone(),
                };
                let entry = Working {
                    dashboard: Arc::clone(dashboard),
                    panels: sender,
                };
                working.insert(key, entry);
                self.0.shutdown.spawn(task.work());
                receiver
            }
        };
        // What is there already is news to this page.
        if !panels.borrow().is_empty() {
            panels.mark_changed();
        }
        Ok(Pages {
            panels,
            seen: Vec::new(),
            _place: place,
        })
    }
}

/// Works for the pages of one dashboard with one filter.
struct Task {
    inner: Arc<Inner>,
    dashboards: Dashboards,
    dashboard: Arc<Dashboard>,
    key: Key,
    panels: watch::Sender<Panels>,
}

impl Task {
    async fn work(self) {
        let pause = self
            .dashboard
            .refresh
            .map_or(RUN_INTERVAL, Duration::from_millis);
        let mut commits = Commits::default();
        let mut replaced = self.dashboards.replaced();
        let mut version = 0;
        loop {
            commits.look(&self.inner.search, &self.dashboard).await;
            version += 1;
            self.run(version).await;
            let rest = async {
                tokio::time::sleep(pause.max(RUN_INTERVAL)).await;
                commits.next(&self.inner.search, &self.dashboard).await;
            };
            tokio::select! {
                () = self.inner.shutdown.asked() => return self.leave(),
                () = self.panels.closed() => if self.is_done() { return },
                _ = replaced.changed() => {}
                () = rest => {}
            }
            let current = self.dashboards.get(&self.dashboard.name);
            if !current.is_some_and(|current| Arc::ptr_eq(&current, &self.dashboard)) {
                return self.leave();
            }
        }
    }

    /// Leaves the list if no page came in the meantime.
    fn is_done(&self) -> bool {
        let mut working = self.inner.working.lock();
        let done = self.panels.receiver_count() == 0;
        if done {
            self.remove(&mut working);
        }
        done
    }

    fn leave(&self) {
        self.remove(&mut self.inner.working.lock());
    }

    fn remove(&self, working: &mut HashMap<Key, Working>) {
        if working
            .get(&self.key)
            .is_some_and(|known| known.panels.same_channel(&self.panels))
        {
            working.remove(&self.key);
        }
    }

    async fn run(&self, version: u64) {
        let before = Arc::clone(&self.panels.borrow());
        let mut after = Vec::with_capacity(self.dashboard.panels.len());
        for (at, panel) in self.dashboard.panels.iter().enumerate() {
            let mut event = json!({"id": panel.id});
            let filter = self.key.1.as_deref();
            let answer = run(&self.inner.search, &self.dashboard, panel, filter).await;
            if let (Value::Object(event), Value::Object(answer)) = (&mut event, answer) {
                event.extend(answer);
            }
            let event = event.to_string();
            let answer = match before.get(at) {
                Some(known) if *known.event == *event => known.clone(),
                _ => Answer {
                    version,
                    event: event.into(),
                },
            };
            after.push(answer);
        }
        let changed = before.len() != after.len()
            || before
                .iter()
                .zip(&after)
                .any(|(before, after)| before.version != after.version);
        if changed {
            self.panels.send_replace(Arc::new(after));
        }
    }
}

/// `{"result": {"total", "aggregations"}}`, or `{"error": {"code", "message"}}`.
async fn run(search: &Search, dashboard: &Dashboard, panel: &Panel, filter: Option<&str>) -> Value {
    match search
        .search(panel.target(dashboard), &panel.search(filter))
        .await
    {
        Ok(mut answer) => {
            let aggregations = answer
                .get_mut("aggregations")
                .map_or(json!({}), Value::take);
            json!({"result": {"total": answer["hits"]["total"]["value"], "aggregations": aggregations}})
        }
        Err(error) => json!({"error": {"code": error.kind, "message": error.reason}}),
    }
}

/// The commits of a dashboard's indices.
#[derive(Debug, Default)]
struct Commits(BTreeMap<String, watch::Receiver<u64>>);

impl Commits {
    /// Finds the indices; one that is named and not there is made, so that the page of a
    /// dashboard works before its first document.
    async fn look(&mut self, search: &Search, dashboard: &Dashboard) -> bool {
        let mut found = false;
        for name in indices(search, dashboard) {
            let known = self.0.get(&name);
            if known.is_some_and(|commits| commits.has_changed().is_ok()) {
                continue;
            }
            if let Ok(index) = search.index(&name).await {
                self.0.insert(name, index.committed());
                found = true;
            }
        }
        found
    }

    /// Returns after the next commit, or when an index has appeared.
    async fn next(&mut self, search: &Search, dashboard: &Dashboard) {
        loop {
            let waits = self.0.values_mut().map(|commits| {
                Box::pin(async {
                    if commits.changed().await.is_err() {
                        // The index was deleted: only a look can find its successor.
                        std::future::pending::<()>().await;
                    }
                })
            });
            let waits: Vec<_> = waits.collect();
            let committed = async {
                if waits.is_empty() {
                    std::future::pending::<()>().await;
                }
                select_all(waits).await;
            };
            tokio::select! {
                () = committed => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if self.look(search, dashboard).await {
                return;
            }
        }
    }
}

/// The indices that a dashboard's panels name, patterns resolved.
fn indices(search: &Search, dashboard: &Dashboard) -> Vec<String> {
    let targets = dashboard.panels.iter().map(|panel| panel.target(dashboard));
    let mut names: Vec<String> = targets
        .flat_map(|target| target.split(','))
        .flat_map(|target| match target.contains('*') {
            true => search
                .names()
                .into_iter()
                .filter(|name| matches(target, name))
                .collect(),
            false => vec![target.to_owned()],
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether a pattern with `*` covers a name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(start) else {
        return false;
    };
    (0..=name.len())
        .filter(|at| name.is_char_boundary(*at))
        .any(|at| matches(rest, &name[at..]))
}

#[cfg(test)]
mod tests;
