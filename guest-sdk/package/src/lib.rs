//! Gives a compiled transform the custom section `wstream`, made of its `transform.toml`:
//! name, version, description, outputs, and the JSON Schema of the configuration.
//!
//! The same bytes and the same text always give the same module. A section that is there already
//! is replaced. A crate of its own because `scripts/guests.sh` needs it before the host is built
//! and `wstream transform build` makes the same bytes.
//!
//! It does not look into the code: the host does when it loads the module.

use serde::{Deserialize, Serialize};

/// The custom section's name.
const SECTION: &str = "wstream";
/// Magic number and version of a core module, and of a component: the sections behind either are
/// framed alike.
const PREAMBLES: [&[u8; 8]; 2] = [b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"];
/// A name is part of file names and addresses.
const NAME_BYTES_MAX: usize = 100;

/// `transform.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The transform's name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// What it does, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Names of the outputs; the first is the default one.
    #[serde(default = "default_outputs")]
    pub outputs: Vec<String>,
    /// JSON Schema of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<toml::Table>,
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The text is not a manifest; the message shows line and column.
    #[error("transform.toml: {0}")]
    Manifest(#[from] toml::de::Error),
    /// A field of the manifest cannot be so.
    #[error("transform.toml: {field} {what}: {value:?}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// The bytes are neither a core WebAssembly module nor a component.
    #[error("not a WebAssembly module: {0}")]
    Module(&'static str),
    /// The configuration's schema holds what JSON has no form for.
    #[error("transform.toml: config: {0}")]
    Schema(#[from] serde_json::Error),
}

fn default_outputs() -> Vec<String> {
    vec!["default".to_owned()]
}

impl Manifest {
    /// Reads and checks a `transform.toml`.
    ///
    /// # Errors
    /// The text is no manifest.
    pub fn parse(text: &str) -> Result<Self, PackageError> {
        let manifest: Self = toml::from_str(text)?;
        check_name("name", &manifest.name)?;
        for (n, output) in manifest.outputs.iter().enumerate() {
            check_name("outputs", output)?;
            if manifest
                .outputs
                .iter()
                .take(n)
                .any(|earlier| earlier == output)
            {
                return Err(field("outputs", "names one twice", output));
            }
        }
        if manifest.outputs.is_empty() {
            return Err(field("outputs", "needs at least the default output", ""));
        }
        Ok(manifest)
    }
}

fn field(field: &'static str, what: &'static str, value: &str) -> PackageError {
    let value = value.to_owned();
    PackageError::Field { field, what, value }
}

fn check_name(of: &'static str, name: &str) -> Result<(), PackageError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(field(
            of,
            "needs 1 to 100 letters, digits, '.', '_' or '-'",
            name,
        ));
    }
    Ok(())
}

/// The module with its description.
///
/// # Errors
/// The bytes are no module, or the manifest has no JSON form.
pub fn package(module: &[u8], manifest: &Manifest) -> Result<Vec<u8>, PackageError> {
    let json = serde_json::to_vec(manifest)?;
    let mut out = without_section(module)?;
    let mut section = Vec::with_capacity(json.len() + 16);
    put_leb(&mut section, SECTION.len());
    section.extend_from_slice(SECTION.as_bytes());
    section.extend_from_slice(&json);
    out.push(0);
    put_leb(&mut out, section.len());
    out.extend_from_slice(&section);
    Ok(out)
}

/// The module's bytes, but not a section of ours.
fn without_section(module: &[u8]) -> Result<Vec<u8>, PackageError> {
    let not_ours = PackageError::Module("its first eight bytes are not a module's");
    let (preamble, mut rest) = match module.split_first_chunk::<8>() {
        Some((preamble, rest)) if PREAMBLES.contains(&preamble) => (preamble, rest),
        _ => return Err(not_ours),
    };
    let mut out = preamble.to_vec();
    while let Some((&id, behind)) = rest.split_first() {
        let ends_early = PackageError::Module("a section ends behind the end of the file");
        let Some((len, content)) = take_leb(behind) else {
            return Err(ends_early);
        };
        let Some((content, behind)) = content.split_at_checked(len) else {
            return Err(ends_early);
        };
        let name = take_leb(content).and_then(|(len, name)| name.get(..len));
        if id != 0 || name != Some(SECTION.as_bytes()) {
            out.extend_from_slice(rest.get(..rest.len() - behind.len()).unwrap_or_default());
        }
        rest = behind;
    }
    Ok(out)
}

fn put_leb(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An unsigned 32-bit number and what is behind it.
fn take_leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (n, &byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(n + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        name = "sample"
        version = "1.2.0"
        description = "Does a thing."
        outputs = ["default", "rejected"]
        [config]
        type = "object"
        [config.properties.min]
        type = "integer"
    "#;
    const SECTION_JSON: &str = r#"{"name":"sample","version":"1.2.0","description":"Does a thing.","outputs":["default","rejected"],"config":{"properties":{"min":{"type":"integer"}},"type":"object"}}"#;

    /// Magic, version, an empty type section, a custom section `name` of three bytes.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x01\0\0\x08\x04name\x01\x02\x03";

    #[test]
    fn the_section_is_appended_and_replaced() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let packaged = package(MODULE, &manifest).unwrap();
        let (code, section) = packaged.split_at(MODULE.len());
        assert_eq!(code, MODULE);
        // Two bytes hold the length: the JSON is longer than 127.
        let content = SECTION_JSON.len() + 8;
        assert_eq!(
            section[..3],
            [0, content as u8 | 0x80, (content >> 7) as u8]
        );
        assert_eq!(&section[3..11], b"\x07wstream");
        assert_eq!(std::str::from_utf8(&section[11..]), Ok(SECTION_JSON));

        let again = Manifest {
            version: "2".to_owned(),
            ..manifest
        };
        let replaced = package(&packaged, &again).unwrap();
        assert_eq!(replaced, package(MODULE, &again).unwrap());
    }

    #[test]
    fn a_component_gets_the_section_too() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let sections = &MODULE[8..];
        let component = [b"\0asm\x0d\0\x01\0", sections].concat();
        let packaged = package(&component, &manifest).unwrap();
        let module = package(MODULE, &manifest).unwrap();
        assert_eq!(packaged[..8], component[..8]);
        assert_eq!(packaged[8..], module[8..]);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let manifest = Manifest::parse("name = \"a\"\nversion = \"1\"").unwrap();
        let newer = b"\0asm\x0e\0\x01\0";
        let cut = &MODULE[..MODULE.len() - 1];
        let endless = b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\x01";
        for bytes in [&b""[..], b"\x7fELF", newer, cut, endless] {
            let error = package(bytes, &manifest).unwrap_err();
            assert!(matches!(error, PackageError::Module(_)), "{error}");
        }
    }

    #[test]
    fn a_wrong_manifest_says_what_is_wrong() {
        let rows = [
            ("version = \"1\"", "missing field `name`"),
            ("name = \"a b\"\nversion = \"1\"", "name needs 1 to 100"),
            (
                "name = \"a\"\nversion = \"1\"\noutput = []",
                "unknown field `output`",
            ),
            (
                "name = \"a\"\nversion = \"1\"\noutputs = []",
                "needs at least",
            ),
            (
                "name = \"a\"\nversion = \"1\"\noutputs = [\"x\", \"x\"]",
                "names one twice: \"x\"",
            ),
        ];
        for (text, message) in rows {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
