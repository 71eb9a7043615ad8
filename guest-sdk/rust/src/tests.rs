//! What a transform's author can rely on, seen through the frames.

use serde::Deserialize;

use crate::log::Level;
use crate::metric::{self, Kind};
use crate::testing::{
    self, Answer, Logged, Metric, TestRecord, check_cases_text, make, run, run_value,
};
use crate::{Failure, NoConfig, Output, Outputs, Record, Transform, info, now_ms, warn};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    refuse: bool,
}

/// Does what the value says.
struct Obeys;

impl Transform for Obeys {
    type Config = Config;
    const OUTPUTS: &'static [&'static str] = &["default", "second"];

    fn new(config: Config) -> Result<Self, Failure> {
        if config.refuse {
            Err(Failure::new(9, "refused"))
        } else {
            Ok(Self)
        }
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        match record.value() {
            Some(b"drop") => {}
            Some(b"fail") => {
                out.send(Output::of(record));
                return Err(Failure::new(7, "as told"));
            }
            Some(b"split") => {
                out.send(Output::of(record).value("one"));
                out.send(
                    Output::of(record)
                        .value("two")
                        .to("second")
                        .partition(3)
                        .timestamp_ms(5),
                );
                out.send(
                    Output::new()
                        .key("k")
                        .null_value()
                        .header("h", "v")
                        .null_header("n"),
                );
            }
            Some(b"half") => {
                out.send(Output::of(record));
                return out.send_with(Output::of(record), |bytes| {
                    bytes.extend_from_slice(b"half of it");
                    Err(Failure::message("broke off"))
                });
            }
            Some(b"wrong") => out.send(Output::of(record).to("third")),
            Some(b"talk") => {
                info!("at {}", record.offset());
                warn!("twice");
                metric::count("seen", 2.0);
                metric::gauge("at", 1.5);
                assert!(now_ms() > 1_700_000_000_000);
            }
            Some(b"bare") => out.send(Output::of(record).no_headers().null_key()),
            _ => out.send(Output::of(record)),
        }
        Ok(())
    }
}

fn obeys() -> Obeys {
    make("{}").unwrap()
}

#[test]
fn a_failure_takes_back_what_its_record_sent_and_nothing_else() {
    let records = ["a", "fail", "b", "half", "drop", "c"].map(TestRecord::of_value);
    let answers = run(&mut obeys(), &records);
    assert_eq!(answers[0].value(), "a");
    assert_eq!(answers[1], Answer::Failed(Failure::new(7, "as told")));
    assert_eq!(answers[2].value(), "b");
    assert_eq!(answers[3].failure(), "broke off");
    assert!(answers[4].is_dropped());
    assert_eq!(answers[5].value(), "c");
}

#[test]
fn outputs_go_where_they_are_sent() {
    let text = concat!(
        r#"{"in": {"key": "a", "value": "split", "timestamp": 3, "headers": [["x", "y"]]}, "out": ["#,
        r#"{"key": "a", "value": "one", "timestamp": 3, "headers": [["x", "y"]]},"#,
        r#"{"key": "a", "value": "two", "timestamp": 5, "headers": [["x", "y"]], "output": "second", "partition": 3},"#,
        r#"{"key": "k", "headers": [["h", "v"], ["n", null]]}]}"#,
        "\n",
        r#"{"in": {"key": "a", "value": "bare", "headers": [["x", "y"]]}, "out": [{"value": "bare"}]}"#,
    );
    assert_eq!(check_cases_text::<Obeys>(text), Ok(()));
}

#[test]
fn an_output_that_was_not_announced_is_a_panic_that_names_it() {
    let panic = std::panic::catch_unwind(|| run_value(&mut obeys(), "wrong")).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("output \"third\" is not one of"),
        "{message}"
    );
}

#[test]
fn logs_and_metrics_are_kept_for_the_test() {
    let answer = run_value(&mut obeys(), "talk");
    assert!(answer.is_dropped());
    let line = |level, line: &str| Logged {
        level,
        line: line.to_owned(),
    };
    assert_eq!(
        testing::logs(),
        [line(Level::Info, "at 0"), line(Level::Warn, "twice")]
    );
    let metric = |kind, name: &str, value| Metric {
        kind,
        name: name.to_owned(),
        value,
    };
    let wanted = [
        metric(Kind::Counter, "seen", 2.0),
        metric(Kind::Gauge, "at", 1.5),
    ];
    assert_eq!(testing::metrics(), wanted);
    assert!(testing::logs().is_empty());
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    // (configuration, message)
    let rows = [
        (r#"{"refuse": true}"#, "refused (code 9)"),
        (r#"{"refues": true}"#, "config: unknown field `refues`"),
        ("[", "config: EOF"),
    ];
    for (config, message) in rows {
        let error = make::<Obeys>(config).err().unwrap().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(serde_json::from_str::<NoConfig>(r#"{"a": 1}"#).is_err());
}

#[test]
fn cases_that_come_out_differently_are_shown_by_line() {
    let text = "{\"in\": {\"value\": \"a\"}, \"out\": []}\n\n{\"in\": {\"value\": \"fail\"}, \"error\": {\"code\": 7, \"message\": \"other\"}}\n{\"in\": {}}\nnonsense";
    let shown = check_cases_text::<Obeys>(text).unwrap_err();
    for part in [
        "line 1: wanted nothing\n  got default key null value a",
        "line 3: wanted a failure: other (code 7)\n  got a failure: as told (code 7)",
        "line 4: not a case: give either \"out\" or \"error\"",
        "line 5: not a case: expected",
    ] {
        assert!(shown.contains(part), "{part}\nis not in\n{shown}");
    }
    assert!(check_cases_text::<Obeys>("\n").is_err());
}
