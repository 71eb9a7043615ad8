//! Any JSON, without a mapping: types, widths and lengths that a fixed schema would refuse.

use bytes::Bytes;
use serde_json::{Value, json};
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};

use crate::{Document, Search, SearchConfig, SearchOptions, SourceBatch, SourceKey};

/// Documents in an index, each part in a segment of its own.
async fn indexed(dir: &std::path::Path, parts: &[&[Value]]) -> Search {
    indexed_with(dir, SearchConfig::default(), parts).await
}

async fn indexed_with(dir: &std::path::Path, config: SearchConfig, parts: &[&[Value]]) -> Search {
    let search = Search::open(dir, config, Clock::system()).unwrap();
    let index = search.index("a").await.unwrap();
    let mut next = 0;
    for part in parts {
        let documents = (next..).zip(*part).map(|(offset, json)| Document {
            offset: Offset(offset),
            n: 0,
            key: None,
            timestamp: Timestamp(1_000 * offset),
            json: Bytes::from(json.to_string()),
        });
        let documents: Vec<Document> = documents.collect();
        next += documents.len() as i64;
        let batch = SourceBatch {
            source: SourceKey {
                pipeline: "p".to_owned(),
                topic: TopicName::new("t").unwrap(),
                partition: PartitionId(0),
            },
            next_offset: Offset(next),
            documents,
        };
        assert!(index.submit(batch).await.unwrap().is_empty());
        index.flush().await.unwrap();
    }
    search
}

/// The offsets of what a query finds, in order.
async fn offsets(search: &Search, query: &Value) -> Vec<i64> {
    let body = json!({"query": query, "size": 1000, "sort": ["_doc"]});
    let answer = search.search("a", &body).await.unwrap();
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let mut offsets: Vec<i64> = hits
        .iter()
        .map(|hit| {
            hit["_id"]
                .as_str()
                .unwrap()
                .rsplit('-')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    offsets.sort_unstable();
    offsets
}

async fn aggregate(search: &Search, aggs: Value) -> Value {
    let body = json!({"size": 0, "aggs": {"a": aggs}});
    search.search("a", &body).await.unwrap()["aggregations"]["a"].take()
}

fn buckets(answer: &Value) -> Vec<(Value, u64)> {
    let buckets = answer["buckets"].as_array().unwrap();
    buckets
        .iter()
        .map(|bucket| (bucket["key"].clone(), bucket["doc_count"].as_u64().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_path_may_hold_several_types() {
    let dir = tempfile::tempdir().unwrap();
    let one = [
        json!({"m": "text"}),
        json!({"m": 5}),
        json!({"m": 7.5}),
        json!({"m": true}),
    ];
    let two = [
        json!({"m": "5"}),
        json!({"m": 18_446_744_073_709_551_615_u64}),
        json!({"m": [1, 2.5, "c", "c"]}),
        json!({"m": null}),
    ];
    let search = indexed(dir.path(), &[&one, &two]).await;
    let rows = [
        (json!({"term": {"m": "text"}}), vec![0]),
        (json!({"term": {"m": 5}}), vec![1, 4]),
        (json!({"term": {"m": 7.5}}), vec![2]),
        (json!({"term": {"m": true}}), vec![3]),
        (json!({"terms": {"m": ["c", 1]}}), vec![6]),
        (json!({"range": {"m": {"gte": 2, "lt": 7}}}), vec![1, 6]),
        (json!({"range": {"m": {"gt": 1e18}}}), vec![5]),
        (json!({"exists": {"field": "m"}}), vec![0, 1, 2, 3, 4, 5, 6]),
        (json!({"query_string": {"query": "m:>7 AND m:<8"}}), vec![2]),
        (json!({"match": {"m": "TEXT"}}), vec![0]),
    ];
    for (query, expected) in rows {
        assert_eq!(offsets(&search, &query).await, expected, "{query}");
    }
    // Keys of mixed types are told apart by their text, whatever segment they stand in.
    let terms = aggregate(
        &search,
        json!({"terms": {"field": "m"}, "aggs": {"s": {"avg": {"field": "m"}}}}),
    )
    .await;
    let five = buckets(&terms).into_iter().find(|(key, _)| key == "5");
    assert_eq!(five, Some((json!("5"), 2)));
    assert_eq!(terms["buckets"].as_array().unwrap().len(), 8);
    let stats = aggregate(&search, json!({"stats": {"field": "m"}})).await;
    assert_eq!(
        (stats["count"].clone(), stats["min"].clone()),
        (json!(6), json!(1.0))
    );
    search.close().await;
}

#[tokio::test]
async fn dates_are_dates_in_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let one = [
        json!({"d": "2026-11-21T10:00:00Z"}),
        json!({"d": "2026-11-21T12:30:00.5+01:00"}),
    ];
    let two = [
        json!({"d": "not a date"}),
        json!({"d": "2026-11-22"}),
        json!({"x": 1}),
    ];
    let search = indexed(dir.path(), &[&one, &two]).await;
    let days = aggregate(&search, json!({"date_histogram": {"field": "d", "calendar_interval": "day", "format": "yyyy-MM-dd"}})).await;
    let keys: Vec<(&str, u64)> = days["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| {
            (
                bucket["key_as_string"].as_str().unwrap(),
                bucket["doc_count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(keys, [("2026-11-21", 2), ("2026-11-22", 1)]);
    let range =
        json!({"range": {"d": {"gte": "2026-11-21T11:00:00Z", "lt": "2026-11-22T00:00:00Z"}}});
    assert_eq!(offsets(&search, &range).await, [1]);
    // Documents without a time of their own have their record's.
    let range = json!({"range": {"@timestamp": {"gte": 2000, "lte": 3000}}});
    assert_eq!(offsets(&search, &range).await, [2, 3]);
    search.close().await;
}

#[tokio::test]
async fn more_than_a_thousand_fields() {
    let dir = tempfile::tempdir().unwrap();
    let wide: Vec<Value> = (0..300)
        .map(|n| {
            let fields = (0..5).map(|i| (format!("f{}", n * 5 + i), json!(n)));
            json!({"all": n, "deep": {"er": serde_json::Map::from_iter(fields)}})
        })
        .collect();
    let search = indexed(dir.path(), &[&wide[..150], &wide[150..]]).await;
    assert_eq!(
        offsets(&search, &json!({"term": {"deep.er.f1499": 299}})).await,
        [299]
    );
    assert_eq!(
        offsets(&search, &json!({"exists": {"field": "deep"}}))
            .await
            .len(),
        300
    );
    assert_eq!(
        offsets(&search, &json!({"query_string": {"query": "42"}})).await,
        [42]
    );
    let stats = aggregate(&search, json!({"stats": {"field": "deep.er.f7"}})).await;
    assert_eq!(
        stats,
        json!({"count": 1, "min": 1.0, "max": 1.0, "avg": 1.0, "sum": 1.0})
    );
    search.close().await;
}

#[tokio::test]
async fn long_strings_are_found_and_compared_whole() {
    let dir = tempfile::tempdir().unwrap();
    let long = |end: &str| format!("{} {end}", "word ".repeat(60));
    let documents = [
        json!({"s": long("one"), "o": {"p": [long("two")]}}),
        json!({"s": long("One")}),
        json!({"s": "short"}),
        json!({"x.y": long("three")}),
    ];
    let search = indexed(dir.path(), &[&documents]).await;
    let rows = [
        (json!({"term": {"s": long("one")}}), vec![0]),
        (json!({"term": {"o.p": long("two")}}), vec![0]),
        (json!({"term": {"x.y": long("three")}}), vec![3]),
        (json!({"match": {"s": "one"}}), vec![0, 1]),
        (json!({"match_phrase": {"s": "word one"}}), vec![0, 1]),
        (json!({"exists": {"field": "s"}}), vec![0, 1, 2]),
        (json!({"exists": {"field": "o"}}), vec![0]),
        (
            json!({"query_string": {"query": "three OR short"}}),
            vec![2, 3],
        ),
    ];
    for (query, expected) in rows {
        assert_eq!(offsets(&search, &query).await, expected, "{query}");
    }
    let terms = aggregate(&search, json!({"terms": {"field": "s"}})).await;
    assert_eq!(buckets(&terms), [(json!("short"), 1)]);
    search.close().await;
}

#[tokio::test]
async fn sorting_several_keys_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let one = [
        json!({"g": "b", "n": 1}),
        json!({"g": "a", "n": 2.5}),
        json!({"n": 3}),
    ];
    let two = [
        json!({"g": "a", "n": 9}),
        json!({"g": ["c", "a"], "n": -1}),
        json!({"g": "b"}),
    ];
    let search = indexed(dir.path(), &[&one, &two]).await;
    let rows = [
        (json!([{"g": "asc"}, {"n": "desc"}]), "3 1 4 0 5 2"),
        (
            json!([{"g": {"order": "desc", "missing": "_first"}}, {"n": "asc"}]),
            "2 4 0 5 1 3",
        ),
        (
            json!([{"n": {"order": "asc", "missing": "_first"}}]),
            "5 4 0 1 2 3",
        ),
        (json!([{"n": {"missing": "_last"}}, "_doc"]), "4 0 1 2 3 5"),
    ];
    for (sort, expected) in rows {
        for size in [6, 3] {
            let body = json!({"sort": sort, "size": size});
            let answer = search.search("a", &body).await.unwrap();
            let hits = answer["hits"]["hits"].as_array().unwrap();
            let order: Vec<&str> = hits
                .iter()
                .map(|hit| hit["_id"].as_str().unwrap().rsplit('-').next().unwrap())
                .collect();
            let expected: Vec<&str> = expected.split(' ').take(size).collect();
            assert_eq!(order, expected, "{sort}");
            // Going on behind each hit gives the rest.
            for (i, hit) in hits.iter().enumerate() {
                let body = json!({"sort": sort, "size": 6, "search_after": hit["sort"]});
                let rest = search.search("a", &body).await.unwrap();
                let rest = rest["hits"]["hits"].as_array().unwrap().len();
                assert_eq!(rest, 6 - i - 1, "{sort} behind {}", hit["sort"]);
            }
        }
    }
    search.close().await;
}

#[tokio::test]
async fn aggregations_nest_filter_and_fill() {
    let dir = tempfile::tempdir().unwrap();
    let documents: Vec<Value> = (0..100)
        .map(|n| json!({"k": format!("k{}", n % 4), "v": n, "t": [n % 2, n % 2], "@timestamp": n * 3_600_000}))
        .collect();
    let search = indexed(dir.path(), &[&documents[..37], &documents[37..]]).await;
    let nested = aggregate(
        &search,
        json!({"filters": {"filters": {"low": {"range": {"v": {"lt": 10}}}, "high": {"range": {"v": {"gte": 90}}}}, "other_bucket": true},
            "aggs": {"k": {"terms": {"field": "k", "order": {"s": "desc"}, "size": 1}, "aggs": {"s": {"sum": {"field": "v"}}}}}}),
    )
    .await;
    // 1 + 5 + 9 and 91 + 95 + 99: by hand.
    let top = |name: &str| {
        let top = &nested["buckets"][name]["k"]["buckets"][0];
        (
            top["key"].as_str().unwrap().to_owned(),
            top["s"]["value"].as_f64().unwrap(),
        )
    };
    assert_eq!(top("low"), ("k1".to_owned(), 15.0));
    assert_eq!(top("high"), ("k3".to_owned(), 285.0));
    assert_eq!(nested["buckets"]["_other_"]["doc_count"], 80);
    let histogram = aggregate(&search, json!({"histogram": {"field": "v", "interval": 40, "extended_bounds": {"min": -40, "max": 150}}})).await;
    assert_eq!(
        buckets(&histogram),
        [
            (json!(-40.0), 0),
            (json!(0.0), 40),
            (json!(40.0), 40),
            (json!(80.0), 20),
            (json!(120.0), 0)
        ]
    );
    let twice = aggregate(&search, json!({"terms": {"field": "t"}})).await;
    assert_eq!(buckets(&twice), [(json!(0), 50), (json!(1), 50)]);
    let missing = aggregate(&search, json!({"terms": {"field": "none", "missing": "-"}})).await;
    assert_eq!(buckets(&missing), [(json!("-"), 100)]);
    search.close().await;
}

#[tokio::test]
async fn the_most_frequent_of_many_terms_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    // Two segments of 3,000 terms that each leave out most: "late" is rare in the first only.
    let terms = |skew: usize| -> Vec<Value> {
        let rare = (0..3_000).map(|n| json!({"k": format!("r{n}")}));
        let often = (0..10).flat_map(|n| vec![json!({"k": format!("o{n}")}); 20 + n]);
        rare.chain(often)
            .chain(vec![json!({"k": "late"}); skew])
            .collect()
    };
    let search = indexed(dir.path(), &[&terms(1), &terms(35)]).await;
    for (size, first) in [(3, ("o9", 58)), (11, ("o9", 58)), (500, ("o9", 58))] {
        let answer = aggregate(&search, json!({"terms": {"field": "k", "size": size}})).await;
        let buckets = buckets(&answer);
        assert_eq!((buckets[0].0.as_str().unwrap(), buckets[0].1), first);
        let shown: u64 = buckets.iter().map(|(_, count)| count).sum();
        assert_eq!(
            answer["sum_other_doc_count"],
            6_000 + 490 + 36 - shown,
            "{size}"
        );
        if size > 10 {
            assert!(buckets.contains(&(json!("late"), 36)), "{size}");
        }
    }
    search.close().await;
}

#[tokio::test]
async fn wrong_requests_name_the_culprit() {
    let dir = tempfile::tempdir().unwrap();
    let search = indexed(dir.path(), &[&[json!({"a": 1})]]).await;
    let rows = [
        (
            json!({"query": {"bogus": {}}}),
            "parsing_exception",
            "bogus",
        ),
        (json!({"bogus": 1}), "parsing_exception", "bogus"),
        (
            json!({"aggs": {"x": {"bogus": {}}}}),
            "parsing_exception",
            "bogus",
        ),
        (
            json!({"aggs": {"x": {"terms": {}}}}),
            "illegal_argument_exception",
            "[x]",
        ),
        (
            json!({"from": 9_995, "size": 10}),
            "illegal_argument_exception",
            "10005",
        ),
        (json!({"size": -5}), "illegal_argument_exception", "-5"),
        (
            json!({"query": {"term": {"a": 1, "b": 2}}}),
            "parsing_exception",
            "multiple fields",
        ),
        (
            json!({"query": {"regexp": {"a": "("}}}),
            "illegal_argument_exception",
            "(",
        ),
        (
            json!({"aggs": {"x": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1x"}}}}),
            "illegal_argument_exception",
            "x",
        ),
        (
            json!({"sort": [{"a": "up"}]}),
            "illegal_argument_exception",
            "up",
        ),
    ];
    for (body, kind, culprit) in rows {
        let error = search.search("a", &body).await.unwrap_err();
        assert_eq!((error.status, error.kind), (400, kind), "{body}");
        assert!(error.reason.contains(culprit), "{body}: {}", error.reason);
    }
    let mut deep = json!({"match_all": {}});
    for _ in 0..60 {
        deep = json!({"bool": {"must": deep}});
    }
    assert!(search.search("a", &json!({"query": deep})).await.is_err());
    search.close().await;
}

#[tokio::test]
async fn fields_beyond_the_columns_are_stored_and_found_by_words() {
    let dir = tempfile::tempdir().unwrap();
    let config = SearchConfig {
        column_paths_max: 2,
        ..SearchConfig::default()
    };
    let long = "long ".repeat(60);
    let one = [json!({"a": 1, "b": "x"})];
    let two = [
        json!({"a": 2, "c": "Some Words", "n": 7, "l": long}),
        json!({"@timestamp": "2026-11-21", "d": {"e": "deep words"}, "b": "y"}),
    ];
    let search = indexed_with(dir.path(), config.clone(), &[&one, &two]).await;
    let rows = [
        (json!({"match": {"c": "words"}}), vec![1]),
        (json!({"match": {"d.e": "deep"}}), vec![2]),
        (json!({"match": {"l": "long"}}), vec![1]),
        (json!({"term": {"c": "Some Words"}}), vec![]),
        (json!({"term": {"n": 7}}), vec![]),
        (json!({"range": {"a": {"gte": 1}}}), vec![0, 1]),
        (json!({"term": {"b": "y"}}), vec![2]),
        (
            json!({"range": {"@timestamp": {"gte": "2026-11-20"}}}),
            vec![2],
        ),
    ];
    for (query, expected) in rows {
        assert_eq!(offsets(&search, &query).await, expected, "{query}");
    }
    let body = json!({"query": {"match": {"c": "words"}}});
    let answer = search.search("a", &body).await.unwrap();
    assert_eq!(answer["hits"]["hits"][0]["_source"], two[0]);
    assert_eq!(search.list("a").await.unwrap()[0].beyond_columns, 2);
    search.close().await;

    // What has columns is known again after a restart.
    let search = Search::open(dir.path(), config, Clock::system()).unwrap();
    assert_eq!(search.list("a").await.unwrap()[0].beyond_columns, 0);
    let index = search.index("a").await.unwrap();
    let documents = [r#"{"a":1,"b":"z"}"#, r#"{"f":1}"#];
    let documents = (3..).zip(documents).map(|(offset, json)| Document {
        offset: Offset(offset),
        n: 0,
        key: None,
        timestamp: Timestamp(0),
        json: Bytes::from(json),
    });
    let batch = SourceBatch {
        source: SourceKey {
            pipeline: "p".to_owned(),
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(0),
        },
        next_offset: Offset(5),
        documents: documents.collect(),
    };
    index.submit(batch).await.unwrap();
    index.flush().await.unwrap();
    assert_eq!(search.list("a").await.unwrap()[0].beyond_columns, 1);
    search.close().await;
}

#[tokio::test]
async fn documents_come_back_as_they_were_stored() {
    let dir = tempfile::tempdir().unwrap();
    let search = Search::open(dir.path(), SearchConfig::default(), Clock::system()).unwrap();
    let index = search.index("a").await.unwrap();
    let stored =
        r#"{ "n": 1e2, "x": 1.50, "b": 12345678901234567890123, "n": 0.1e1, "s": "\u00e9" }"#;
    let batch = SourceBatch {
        source: SourceKey {
            pipeline: "p".to_owned(),
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(0),
        },
        next_offset: Offset(1),
        documents: vec![Document {
            offset: Offset(0),
            n: 0,
            key: None,
            timestamp: Timestamp(0),
            json: Bytes::from(stored),
        }],
    };
    assert!(index.submit(batch).await.unwrap().is_empty());
    index.flush().await.unwrap();
    for (source, wanted) in [
        (json!(true), stored),
        (json!(["n"]), r#"{"n":1e2,"n":0.1e1}"#),
    ] {
        let body = json!({"_source": source});
        let answer = search.search_with("a", &body, SearchOptions::default());
        let text = serde_json::to_string(&answer.await.unwrap()).unwrap();
        assert!(text.contains(&format!(r#""_source":{wanted}"#)), "{text}");
    }
    let one = search.get_document("a", "t-0-0", SearchOptions::default());
    let text = serde_json::to_string(&one.await.unwrap()).unwrap();
    assert!(
        text.ends_with(&format!(r#""found":true,"_source":{stored}}}"#)),
        "{text}"
    );
    search.close().await;
}
