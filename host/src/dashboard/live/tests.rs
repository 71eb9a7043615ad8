use std::future::Future;

use bytes::Bytes;
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};
use wstream_search::{Document, SearchConfig, SourceBatch, SourceKey};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Setup {
    search: Search,
    shutdown: Shutdown,
    live: Live,
    dashboards: Dashboards,
    _dir: tempfile::TempDir,
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let search = Search::open(dir.path(), SearchConfig::default(), Clock::system()).unwrap();
    let shutdown = Shutdown::new();
    let live = Live::new(search.clone(), shutdown.clone());
    let dashboards = Dashboards::new();
    dashboards.replace(vec![dashboard("By kind")]);
    Setup {
        search,
        shutdown,
        live,
        dashboards,
        _dir: dir,
    }
}

fn dashboard(title: &str) -> Dashboard {
    let mut dashboard: Dashboard = serde_json::from_value(json!({
        "title": title, "index": "events",
        "panels": [
            {"id": "all", "title": "All", "chart": "number", "width": 3},
            {"id": "kinds", "title": "Kinds", "chart": "hbar", "width": 9,
             "aggs": {"kinds": {"terms": {"field": "kind"}}}},
            {"id": "late", "title": "Late", "chart": "number", "width": 3, "query": "kind:late"},
            {"id": "odd", "title": "Odd", "chart": "number", "width": 3, "query": {"nonsense": {}}},
        ],
    }))
    .unwrap();
    dashboard.name = "kinds".to_owned();
    dashboard
}

/// Writes one document of each kind, the next ones in the log.
async fn write(search: &Search, from: i64, kinds: &[&str]) {
    let document = |(offset, kind): (i64, &&str)| Document {
        offset: Offset(offset),
        n: 0,
        key: None,
        timestamp: Timestamp(offset),
        json: Bytes::from(json!({"kind": kind}).to_string()),
    };
    let documents: Vec<_> = (from..).zip(kinds).map(document).collect();
    let topic = TopicName::new("events").unwrap();
    let batch = SourceBatch {
        source: SourceKey {
            pipeline: "p".into(),
            topic,
            partition: PartitionId(0),
        },
        next_offset: Offset(from + i64::try_from(kinds.len()).unwrap()),
        documents,
    };
    let index = search.index("events").await.unwrap();
    assert_eq!(index.submit(batch).await.unwrap(), []);
    index.flush().await.unwrap();
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("within the patience")
}

/// The updates of a page until a panel's result is as wanted; the ids that came, in order.
async fn until(pages: &mut Pages, id: &str, wanted: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let changed = soon(pages.changed()).await.expect("the dashboard is there");
        for event in changed {
            let event: Value = serde_json::from_str(&event).unwrap();
            ids.push(event["id"].as_str().unwrap().to_owned());
            if event["id"] == id && event["result"]["total"] == *wanted {
                return ids;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_gets_all_panels_and_then_only_what_changed() {
    let setup = setup();
    write(&setup.search, 0, &["early", "early"]).await;
    let mut pages = setup
        .live
        .open(
            &setup.dashboards,
            &setup.dashboards.get("kinds").unwrap(),
            None,
        )
        .unwrap();
    let first = soon(pages.changed()).await.unwrap();
    let events: Vec<Value> = first
        .iter()
        .map(|e| serde_json::from_str(e).unwrap())
        .collect();
    let ids: Vec<_> = events.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["all", "kinds", "late", "odd"]);
    assert_eq!(events[0]["result"], json!({"total": 2, "aggregations": {}}));
    let buckets = &events[1]["result"]["aggregations"]["kinds"]["buckets"];
    assert_eq!(*buckets, json!([{"key": "early", "doc_count": 2}]));
    assert_eq!(events[2]["result"]["total"], 0);
    assert!(
        events[3]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nonsense"),
        "{events:?}"
    );

    write(&setup.search, 2, &["early"]).await;
    let changed = until(&mut pages, "all", &json!(3)).await;
    assert!(
        !changed.iter().any(|id| id == "late" || id == "odd"),
        "{changed:?}"
    );
    write(&setup.search, 3, &["late"]).await;
    until(&mut pages, "late", &json!(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_narrows_every_panel_of_its_pages_only() {
    let setup = setup();
    write(&setup.search, 0, &["early", "early", "late"]).await;
    let dashboard = setup.dashboards.get("kinds").unwrap();
    let mut all = setup
        .live
        .open(&setup.dashboards, &dashboard, None)
        .unwrap();
    let filter = Some("kind:late");
    let mut late = setup
        .live
        .open(&setup.dashboards, &dashboard, filter)
        .unwrap();
    until(&mut all, "all", &json!(3)).await;
    until(&mut late, "all", &json!(1)).await;
    let data = setup.live.data(&dashboard, filter).await;
    assert_eq!(data["all"]["result"]["total"], 1);
    assert_eq!(data["late"]["result"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_page_gets_what_is_known_and_the_work_ends_with_the_last() {
    let setup = setup();
    let dashboard = setup.dashboards.get("kinds").unwrap();
    let mut one = setup
        .live
        .open(&setup.dashboards, &dashboard, None)
        .unwrap();
    assert_eq!(soon(one.changed()).await.unwrap().len(), 4);
    let mut two = setup
        .live
        .open(&setup.dashboards, &dashboard, None)
        .unwrap();
    assert_eq!(soon(two.changed()).await.unwrap().len(), 4);
    assert_eq!(setup.live.0.working.lock().len(), 1);
    drop(one);
    write(&setup.search, 0, &["early"]).await;
    until(&mut two, "all", &json!(1)).await;
    drop(two);
    assert!(
        setup.shutdown.finished(PATIENCE).await,
        "the task ends without pages"
    );
    assert!(setup.live.0.working.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_dashboard_ends_its_pages() {
    let setup = setup();
    let mut pages = setup
        .live
        .open(
            &setup.dashboards,
            &setup.dashboards.get("kinds").unwrap(),
            None,
        )
        .unwrap();
    soon(pages.changed()).await.unwrap();
    setup.dashboards.replace(vec![dashboard("Another title")]);
    write(&setup.search, 0, &["early"]).await;
    let end = async { while pages.changed().await.is_some() {} };
    soon(end).await;
    let mut next = setup
        .live
        .open(
            &setup.dashboards,
            &setup.dashboards.get("kinds").unwrap(),
            None,
        )
        .unwrap();
    until(&mut next, "all", &json!(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_bounded() {
    let setup = setup();
    let dashboard = setup.dashboards.get("kinds").unwrap();
    let open = || setup.live.open(&setup.dashboards, &dashboard, None);
    let mut pages: Vec<_> = (0..PAGES_MAX).map(|_| open().unwrap()).collect();
    assert_eq!(open().unwrap_err(), TooManyPages);
    pages.pop();
    assert!(open().is_ok());
}

#[test]
fn patterns_cover_names() {
    for (pattern, name, covers) in [
        ("*", "any", true),
        ("twitter-*", "twitter-20220729", true),
        ("twitter-*", "twitter", false),
        ("*-logs", "http-logs", true),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
    ] {
        assert_eq!(matches(pattern, name), covers, "{pattern} {name}");
    }
}
