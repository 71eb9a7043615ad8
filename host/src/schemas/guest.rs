//! The registry as Redpanda transforms see it. They run on threads of their own, so registering,
//! which writes, is done on the node's.

use tokio::runtime::Handle;
use tracing::warn;
use wstream_transform as guest;

use super::{Reference, Schema, SchemaId, SchemaKind, Schemas};

/// What a module gets at the registry of schemas.
#[derive(Debug, Clone)]
pub struct GuestSchemas {
    schemas: Schemas,
    node: Handle,
}

impl GuestSchemas {
    /// Must be called on the node's own threads.
    #[must_use]
    pub fn new(schemas: Schemas) -> Self {
        let node = Handle::current();
        Self { schemas, node }
    }
}

impl guest::SchemaRegistry for GuestSchemas {
    fn by_id(&self, id: i32) -> Option<guest::SchemaDefinition> {
        let schema = self.schemas.by_id(SchemaId(u32::try_from(id).ok()?))?;
        definition(&schema)
    }

    fn by_subject(&self, subject: &str, version: Option<i32>) -> Option<guest::SubjectSchema> {
        let version = match version {
            None => None,
            Some(version) => Some(u32::try_from(version).ok()?),
        };
        let found = self.schemas.by_subject(subject, version)?;
        Some(guest::SubjectSchema {
            id: i32::try_from(found.id.0).ok()?,
            version: i32::try_from(found.version).ok()?,
            schema: definition(&found.schema)?,
        })
    }

    fn register(&self, subject: String, schema: guest::SchemaDefinition) -> guest::Registering {
        let schemas = self.schemas.clone();
        let registered = self.node.spawn(async move {
            let schema = own(schema)?;
            match schemas.register(&subject, schema).await {
                Ok(registered) => i32::try_from(registered.id.0).ok(),
                Err(error) => {
                    warn!(subject, %error, "a transform's schema was not registered");
                    None
                }
            }
        });
        Box::pin(async move { registered.await.ok().flatten() })
    }
}

fn definition(schema: &Schema) -> Option<guest::SchemaDefinition> {
    let references = schema.references.iter().map(|reference| {
        let version = i32::try_from(reference.version).ok()?;
        Some((reference.name.clone(), reference.subject.clone(), version))
    });
    Some(guest::SchemaDefinition {
        kind: match schema.kind {
            SchemaKind::Avro => guest::SchemaKind::Avro,
            SchemaKind::Json => guest::SchemaKind::Json,
            SchemaKind::Protobuf => guest::SchemaKind::Protobuf,
        },
        text: schema.text.clone(),
        references: references.collect::<Option<_>>()?,
    })
}

fn own(schema: guest::SchemaDefinition) -> Option<Schema> {
    let references = schema.references.into_iter();
    let references = references.map(|(name, subject, version)| {
        let version = u32::try_from(version).ok()?;
        Some(Reference {
            name,
            subject,
            version,
        })
    });
    Some(Schema {
        kind: match schema.kind {
            guest::SchemaKind::Avro => SchemaKind::Avro,
            guest::SchemaKind::Json => SchemaKind::Json,
            guest::SchemaKind::Protobuf => SchemaKind::Protobuf,
        },
        text: schema.text,
        references: references.collect::<Option<_>>()?,
    })
}
