//! Answers and errors in the shape of Confluent's registry: `{"error_code", "message"}`, where the
//! code begins with the status.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::schemas::SchemasError;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Refused {
    code: u32,
    message: String,
}

pub(super) fn answer(body: &Value) -> Response {
    text(body.to_string())
}

pub(super) fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}

impl Refused {
    fn new(code: u32, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// A status without a code of its own.
    pub(super) fn plain(status: u16, message: impl Into<String>) -> Self {
        Self::new(status.into(), message)
    }

    pub(super) fn version(text: &str) -> Self {
        let message = format!(
            "the specified version {text:?} is not a valid version id: it is between 1 and \
             2147483647, or \"latest\""
        );
        Self::new(42202, message)
    }

    pub(super) fn level(name: &str) -> Self {
        let message = format!(
            "invalid compatibility level {name:?}: it is NONE, BACKWARD, FORWARD, FULL, \
             BACKWARD_TRANSITIVE, FORWARD_TRANSITIVE or FULL_TRANSITIVE"
        );
        Self::new(42203, message)
    }

    pub(super) fn schema(message: impl Into<String>) -> Self {
        SchemasError::Invalid(message.into()).into()
    }

    pub(super) fn not_permitted(message: &str) -> Self {
        Self::new(42205, message)
    }

    pub(super) fn no_schema(id: &str) -> Self {
        SchemasError::UnknownSchema(format!("id {id}")).into()
    }

    pub(super) fn no_mode(subject: &str) -> Self {
        let message = format!("subject {subject:?} does not have subject-level mode configured");
        Self::new(40409, message)
    }

    fn status(&self) -> StatusCode {
        let status = if self.code < 1_000 {
            self.code
        } else {
            self.code / 100
        };
        let status = u16::try_from(status).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<SchemasError> for Refused {
    fn from(error: SchemasError) -> Self {
        let code = match &error {
            SchemasError::UnknownSubject(_) => 40401,
            SchemasError::UnknownVersion { .. } => 40402,
            SchemasError::UnknownSchema(_) => 40403,
            SchemasError::SubjectDeleted(_) => 40404,
            SchemasError::SubjectNotDeleted(_) => 40405,
            SchemasError::VersionDeleted { .. } => 40406,
            SchemasError::VersionNotDeleted { .. } => 40407,
            SchemasError::NoLevel(_) => 40408,
            SchemasError::Incompatible { .. } => 409,
            SchemasError::Invalid(_) | SchemasError::TooManyReferences(_) => 42201,
            SchemasError::TooManyVersions(_)
            | SchemasError::TooManySubjects
            | SchemasError::TooManySchemas => 42205,
            SchemasError::Referenced { .. } => 42206,
            SchemasError::Subject(_) => 42208,
            SchemasError::TooLarge { .. } => 42209,
            SchemasError::Document(_) | SchemasError::Broken { .. } => 50001,
            SchemasError::Stopping => 503,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.code, "message": self.message});
        (self.status(), answer(&body)).into_response()
    }
}
