//! The registry of schemas over HTTP, under `/api/schema-registry`: the paths, bodies and error
//! codes of Confluent's registry, so that its clients and serializers work unchanged.
//!
//! What a client may send and this registry does not keep (contexts, modes, metadata, rules, ids
//! of its own) is refused, never ignored.

mod answer;
mod levels;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use crate::schemas::{At, Filter, Reference, Schema, SchemaId, SchemaKind, SubjectSchema};
use answer::{Refused, answer, text};

/// Where the routes are mounted.
pub(super) const MOUNT: &str = "/api/schema-registry";
/// Routes whose POST asks and changes nothing.
pub(super) const POSTS_THAT_READ: [&str; 3] = [
    "/api/schema-registry/subjects/{subject}",
    "/api/schema-registry/compatibility/subjects/{subject}/versions",
    "/api/schema-registry/compatibility/subjects/{subject}/versions/{version}",
];

/// Options of a request; unknown ones are left alone, as clients send many.
type Options = Query<BTreeMap<String, String>>;

/// An answer, or why there is none.
type Answered = Result<Response, Refused>;

/// A schema as clients send it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
    id: Option<i64>,
    version: Option<i64>,
    metadata: Option<Value>,
    rule_set: Option<Value>,
}

/// The routes.
pub(super) fn router() -> Router<ApiState> {
    let version = "/subjects/{subject}/versions/{version}";
    let compatibility = "/compatibility/subjects/{subject}/versions";
    Router::new()
        .route("/", get(root))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route(version, get(one).delete(delete_version))
        .route(&format!("{version}/schema"), get(one_text))
        .route(&format!("{version}/referencedby"), get(referring))
        .route("/schemas/types", get(kinds))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(by_id_text))
        .route("/schemas/ids/{id}/subjects", get(id_subjects))
        .route("/schemas/ids/{id}/versions", get(id_versions))
        .route(
            "/config",
            get(levels::all)
                .put(levels::put_all)
                .delete(levels::reset_all),
        )
        .route(
            "/config/{subject}",
            get(levels::one).put(levels::put).delete(levels::reset),
        )
        .route("/mode", get(levels::mode))
        .route("/mode/{subject}", get(levels::mode_of_subject))
        .route(compatibility, post(levels::compare_all))
        .route(
            &format!("{compatibility}/{{version}}"),
            post(levels::compare),
        )
        .fallback(|| async { Refused::plain(404, "there is nothing under this path") })
        .method_not_allowed_fallback(|| async {
            Refused::plain(405, "this path does not take this method")
        })
}

/// `GET /`
pub(super) async fn root() -> Response {
    answer(&json!({}))
}

/// Whether an option is on: clients write `true` and `True`.
fn is_on(options: &Options, name: &str) -> bool {
    let value = options.get(name);
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Which versions a request means.
fn filter(options: &Options) -> Filter {
    if is_on(options, "deletedOnly") || is_on(options, "deleted_only") {
        Filter::DeletedOnly
    } else if is_on(options, "deleted") {
        Filter::All
    } else {
        Filter::Live
    }
}

/// The part of a list that `offset` and `limit` ask for; a negative limit is none.
fn page<T>(list: impl IntoIterator<Item = T>, options: &Options) -> Vec<T> {
    let number = |name: &str| options.get(name).and_then(|text| text.parse::<i64>().ok());
    let count = |number: i64| usize::try_from(number).ok();
    let offset = number("offset").and_then(count).unwrap_or(0);
    let limit = number("limit").and_then(count).unwrap_or(usize::MAX);
    list.into_iter().skip(offset).take(limit).collect()
}

/// `latest`, `-1` or a number.
fn version(text: &str) -> Result<At, Refused> {
    if matches!(text, "latest" | "-1") {
        return Ok(At::Latest);
    }
    let number = text.parse::<i32>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| Refused::version(text))?;
    Ok(At::Version(number.unsigned_abs()))
}

fn id(text: &str) -> Result<SchemaId, Refused> {
    let number = text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
    number
        .map(SchemaId)
        .ok_or_else(|| Refused::plain(404, "a schema's id is a number"))
}

/// The schema of a body.
fn schema(body: &Bytes) -> Result<Schema, Refused> {
    let body: SchemaBody = serde_json::from_slice(body)
        .map_err(|error| Refused::plain(400, format!("the body does not read: {error}")))?;
    let is_empty = |value: &Value| value.is_null() || *value == json!({});
    let unkept = [&body.metadata, &body.rule_set];
    if unkept.into_iter().flatten().any(|value| !is_empty(value)) {
        return Err(Refused::schema(
            "this registry keeps no metadata and no rules",
        ));
    }
    if [body.id, body.version]
        .into_iter()
        .flatten()
        .any(|number| number > 0)
    {
        let what = "this registry gives ids and versions itself: it has no import mode";
        return Err(Refused::not_permitted(what));
    }
    let name = body.schema_type.as_deref().filter(|name| !name.is_empty());
    let kind = name.map_or(Some(SchemaKind::Avro), SchemaKind::parse);
    let kind = kind.ok_or_else(|| {
        Refused::schema(format!(
            "there is no schema type {:?}",
            name.unwrap_or_default()
        ))
    })?;
    Ok(Schema {
        kind,
        text: body.schema.unwrap_or_default(),
        references: body.references.unwrap_or_default(),
    })
}

/// A schema as clients read it: AVRO is not said.
fn shown(schema: &Schema) -> Value {
    let mut shown = json!({"schema": schema.text});
    if schema.kind != SchemaKind::Avro {
        shown["schemaType"] = schema.kind.name().into();
    }
    if !schema.references.is_empty() {
        shown["references"] = json!(schema.references);
    }
    shown
}

fn shown_version(held: &SubjectSchema) -> Value {
    let mut answer = json!({"subject": held.subject, "version": held.version, "id": held.id});
    if let (Value::Object(answer), Value::Object(schema)) = (&mut answer, shown(&held.schema)) {
        answer.extend(schema);
    }
    answer
}

/// `GET /subjects`
async fn subjects(State(state): State<ApiState>, options: Options) -> Response {
    let prefix = options.get("subjectPrefix").map_or("", String::as_str);
    // Clients of registries with contexts ask for all of them.
    let prefix = prefix.strip_prefix(":*:").unwrap_or(prefix);
    let subjects = state.schemas.subjects(prefix, filter(&options));
    answer(&json!(page(subjects, &options)))
}

/// `POST /subjects/{subject}`: the version that has this schema.
async fn look_up(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    options: Options,
    body: Bytes,
) -> Answered {
    let filter = filter(&options);
    let found = state
        .schemas
        .look_up(&subject, schema(&body)?, filter)
        .await?;
    Ok(answer(&shown_version(&found)))
}

/// `DELETE /subjects/{subject}`
async fn delete_subject(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    options: Options,
) -> Answered {
    let is_permanent = is_on(&options, "permanent");
    let versions = state.schemas.delete_subject(&subject, is_permanent).await?;
    Ok(answer(&json!(versions)))
}

/// `GET /subjects/{subject}/versions`
async fn versions(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    options: Options,
) -> Answered {
    let versions = state.schemas.versions(&subject, filter(&options))?;
    Ok(answer(&json!(page(versions, &options))))
}

/// `POST /subjects/{subject}/versions`
async fn register(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answered {
    let registered = state.schemas.register(&subject, schema(&body)?).await?;
    let (id, version) = (registered.id, registered.version);
    Ok(answer(&json!({"id": id, "version": version})))
}

/// `GET /subjects/{subject}/versions/{version}`
async fn one(
    State(state): State<ApiState>,
    Path((subject, number)): Path<(String, String)>,
    options: Options,
) -> Answered {
    let held = state
        .schemas
        .version(&subject, version(&number)?, filter(&options))?;
    Ok(answer(&shown_version(&held)))
}

/// `GET /subjects/{subject}/versions/{version}/schema`: the text alone.
async fn one_text(
    State(state): State<ApiState>,
    Path((subject, number)): Path<(String, String)>,
    options: Options,
) -> Answered {
    let held = state
        .schemas
        .version(&subject, version(&number)?, filter(&options))?;
    Ok(text(held.schema.text.clone()))
}

/// `GET /subjects/{subject}/versions/{version}/referencedby`
async fn referring(
    State(state): State<ApiState>,
    Path((subject, number)): Path<(String, String)>,
    options: Options,
) -> Answered {
    let ids = state.schemas.referring(&subject, version(&number)?)?;
    Ok(answer(&json!(page(ids, &options))))
}

/// `DELETE /subjects/{subject}/versions/{version}`
async fn delete_version(
    State(state): State<ApiState>,
    Path((subject, number)): Path<(String, String)>,
    options: Options,
) -> Answered {
    let is_permanent = is_on(&options, "permanent");
    let at = version(&number)?;
    let deleted = state
        .schemas
        .delete_version(&subject, at, is_permanent)
        .await?;
    Ok(answer(&json!(deleted)))
}

/// `GET /schemas/types`
async fn kinds() -> Response {
    answer(&json!(["JSON", "PROTOBUF", "AVRO"]))
}

/// `GET /schemas/ids/{id}`
async fn by_id(State(state): State<ApiState>, Path(number): Path<String>) -> Answered {
    let found = state.schemas.by_id(id(&number)?);
    let found = found.ok_or_else(|| Refused::no_schema(&number))?;
    Ok(answer(&shown(&found)))
}

/// `GET /schemas/ids/{id}/schema`: the text alone.
async fn by_id_text(State(state): State<ApiState>, Path(number): Path<String>) -> Answered {
    let found = state.schemas.by_id(id(&number)?);
    let found = found.ok_or_else(|| Refused::no_schema(&number))?;
    Ok(text(found.text.clone()))
}

/// `GET /schemas/ids/{id}/subjects`
async fn id_subjects(
    State(state): State<ApiState>,
    Path(number): Path<String>,
    options: Options,
) -> Answered {
    let uses = state.schemas.uses(id(&number)?, filter(&options))?;
    let mut names: Vec<&str> = uses.iter().map(|held| held.subject.as_str()).collect();
    names.dedup();
    Ok(answer(&json!(page(names, &options))))
}

/// `GET /schemas/ids/{id}/versions`
async fn id_versions(
    State(state): State<ApiState>,
    Path(number): Path<String>,
    options: Options,
) -> Answered {
    let uses = state.schemas.uses(id(&number)?, filter(&options))?;
    let uses = uses
        .iter()
        .map(|held| json!({"subject": held.subject, "version": held.version}));
    Ok(answer(&json!(page(uses, &options))))
}
