//! Documents of the node's metadata that one owner reads at its start and changes alone: a change is
//! made only to the version that the owner knows, else refused.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use wstream_log::{DocumentError, Metadata};

/// The documents of an owner, who makes one change at a time.
#[derive(Debug)]
pub(crate) struct OwnDocuments {
    metadata: Metadata,
    /// By kind and name.
    versions: Mutex<HashMap<(&'static str, String), u64>>,
}

impl OwnDocuments {
    /// Nothing is known yet.
    pub(crate) fn new(metadata: Metadata) -> Self {
        let versions = Mutex::default();
        Self { metadata, versions }
    }

    /// All documents of a kind, by name.
    pub(crate) fn all(&self, kind: &'static str) -> Vec<(String, Bytes)> {
        let names = self.metadata.documents(kind).into_iter();
        let found = names.filter_map(|(name, _)| {
            let body = self.one(kind, &name)?;
            Some((name, body))
        });
        found.collect()
    }

    /// A document.
    pub(crate) fn one(&self, kind: &'static str, name: &str) -> Option<Bytes> {
        let (version, body) = self.metadata.document_version(kind, name)?;
        self.note(kind, name, Some(version));
        Some(body)
    }

    /// Creates a document, or replaces the one that is known.
    ///
    /// # Errors
    /// Somebody else has changed it, it is too large, or the store failed.
    pub(crate) async fn put(
        &self,
        kind: &'static str,
        name: &str,
        body: Bytes,
    ) -> Result<(), DocumentError> {
        let version = match self.known(kind, name) {
            None => self.metadata.create_document(kind, name, body).await?,
            Some(known) => {
                let put = self.metadata.put_document_if(known, kind, name, body);
                put.await?
            }
        };
        self.note(kind, name, Some(version));
        Ok(())
    }

    /// Deletes a document; one that is not known is not there.
    ///
    /// # Errors
    /// Somebody else has changed it, or the store failed.
    pub(crate) async fn delete(&self, kind: &'static str, name: &str) -> Result<(), DocumentError> {
        if let Some(known) = self.known(kind, name) {
            let deleted = self.metadata.delete_document_if(known, kind, name);
            deleted.await?;
            self.note(kind, name, None);
        }
        Ok(())
    }

    fn known(&self, kind: &'static str, name: &str) -> Option<u64> {
        self.versions.lock().get(&(kind, name.to_owned())).copied()
    }

    fn note(&self, kind: &'static str, name: &str, version: Option<u64>) {
        let mut versions = self.versions.lock();
        let of = (kind, name.to_owned());
        match version {
            Some(version) => versions.insert(of, version),
            None => versions.remove(&of),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_somebody_else_changed_is_not_changed_again() {
        let metadata = Metadata::in_memory();
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        let own = OwnDocuments::new(metadata.clone());
        own.put("k", "a", body("1")).await.unwrap();
        own.put("k", "a", body("2")).await.unwrap();
        let other = OwnDocuments::new(metadata.clone());
        assert_eq!(other.all("k"), [("a".to_owned(), body("2"))]);
        other.put("k", "a", body("3")).await.unwrap();
        let refused = own.put("k", "a", body("4")).await;
        assert!(matches!(refused, Err(DocumentError::Version { .. })));
        let refused = own.delete("k", "a").await;
        assert!(matches!(refused, Err(DocumentError::Version { .. })));
        assert_eq!(metadata.document("k", "a"), Some(body("3")));
        other.put("k", "b", body("1")).await.unwrap();
        let refused = own.put("k", "b", body("2")).await;
        assert!(matches!(refused, Err(DocumentError::Exists { .. })));
        assert_eq!(own.one("k", "b"), Some(body("1")));
        own.put("k", "b", body("2")).await.unwrap();
        own.delete("k", "b").await.unwrap();
        own.delete("k", "b").await.unwrap();
        assert_eq!(metadata.document("k", "b"), None);
        own.put("k", "b", body("3")).await.unwrap();
    }
}
