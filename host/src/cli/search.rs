//! `wstream search`: queries an index from the shell.

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, NodeOptions, encoded};
use super::output::{Output, thousands, to_stderr};

const EXAMPLES: &str = "\
Examples:
  wstream search netflix-titles 'type:MOVIE AND release_year:[2020 TO *]'
  wstream search netflix-titles 'korea' --size 3 --fields title,release_year
  wstream search netflix-titles '*' --sort release_year:desc --json
  wstream search 'netflix-*' '{\"size\": 0, \"aggs\": {\"years\": {\"terms\": {\"field\": \"release_year\"}}}}'

QUERY is query_string syntax, or a whole search body as JSON when it begins with `{`.
Each hit is a line of JSON on standard output; the total goes to standard error.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SearchArgs {
    /// The index, several with commas, or a pattern with `*`.
    index: String,
    /// What to look for.
    #[arg(default_value = "*")]
    query: String,
    /// Most hits that are shown.
    #[arg(long, short = 'n', value_name = "N")]
    size: Option<u64>,
    /// Hits that are skipped.
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Fields to sort by, as in year:desc,title.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    sort: Vec<String>,
    /// Only these fields of the documents.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,
    /// Print the whole answer as it came, JSON on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeOptions,
}

/// What is read of an answer; documents stay the texts that they are.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    took: u64,
    #[serde(borrow)]
    hits: Hits<'a>,
    aggregations: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Hits<'a> {
    total: Option<Total>,
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
    relation: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Hit<'a> {
    #[serde(borrow)]
    _id: &'a RawValue,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    _source: Option<&'a RawValue>,
}

pub(super) async fn execute(args: SearchArgs, output: &mut Output) -> anyhow::Result<()> {
    let path = format!("/api/v1/indices/{}/_search", encoded(&args.index));
    let body = Bytes::from(body(&args)?.to_string());
    let text = Client::new(&args.node)?
        .post_for_text(&path, "application/json", body)
        .await?;
    if args.json {
        return Ok(output.line(&text)?);
    }
    let answer: Answer<'_> = serde_json::from_str(&text)
        .context("the answer is not one of a search: is --node the address of a wstream node?")?;
    for hit in &answer.hits.hits {
        output.line(&serde_json::to_string(hit)?)?;
    }
    if let Some(aggregations) = &answer.aggregations {
        output.line(&serde_json::to_string_pretty(aggregations)?)?;
    }
    output.flush()?;
    let found = match &answer.hits.total {
        Some(total) => counted(total),
        None => "hits not counted".to_owned(),
    };
    to_stderr(&format!("{found} in {} ms", answer.took));
    Ok(())
}

fn counted(total: &Total) -> String {
    let least = if total.relation == "gte" {
        "at least "
    } else {
        ""
    };
    let plural = if total.value == 1 { "hit" } else { "hits" };
    format!("{least}{} {plural}", thousands(total.value))
}

/// The search body that the arguments say.
fn body(args: &SearchArgs) -> anyhow::Result<Value> {
    let query = args.query.trim();
    let mut body = if query.starts_with('{') {
        serde_json::from_str(query).context("QUERY begins with `{` and is not JSON")?
    } else {
        json!({"query": {"query_string": {"query": query}}})
    };
    if let Some(size) = args.size {
        body["size"] = size.into();
    }
    if let Some(from) = args.from {
        body["from"] = from.into();
    }
    if !args.sort.is_empty() {
        let by = |field: &String| match field.rsplit_once(':') {
            Some((field, order @ ("asc" | "desc"))) => json!({field: {"order": order}}),
            _ => json!({field: {"order": "asc"}}),
        };
        body["sort"] = args.sort.iter().map(by).collect();
    }
    if !args.fields.is_empty() {
        body["_source"] = json!(args.fields);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn arguments_become_a_search_body() {
        let rows: [(&[&str], &str); 3] = [
            (
                &["i", "a:b"],
                r#"{"query":{"query_string":{"query":"a:b"}}}"#,
            ),
            (
                &[
                    "i",
                    "x",
                    "-n",
                    "3",
                    "--from",
                    "6",
                    "--sort",
                    "year:desc,a:b",
                    "--fields",
                    "a,b.c",
                ],
                r#"{"query":{"query_string":{"query":"x"}},"size":3,"from":6,"sort":[{"year":{"order":"desc"}},{"a:b":{"order":"asc"}}],"_source":["a","b.c"]}"#,
            ),
            (&["i", r#"{"size":0}"#, "--size", "1"], r#"{"size":1}"#),
        ];
        for (arguments, wanted) in rows {
            let all = ["wstream", "search"].iter().chain(arguments);
            let Command::Search(args) = Cli::try_parse_from(all).unwrap().command else {
                panic!("not a search")
            };
            assert_eq!(body(&args).unwrap().to_string(), wanted);
        }
    }
}
