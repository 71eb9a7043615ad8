//! Module `redpanda_schema_registry`.

use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::{Answer, Host, memory, slice, slice_mut, write};
use crate::imports::SCHEMA_REGISTRY;
use crate::schemas::{DEFINITION_BYTES_MAX, SchemaDefinition, SchemaRegistry};
use crate::state::HostState;

const SUCCESS: i32 = 0;
const NOT_ENABLED: i32 = -1;
const ERROR: i32 = -2;
/// Stands for the latest version.
const LATEST: i32 = -1;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    linker.func_wrap(SCHEMA_REGISTRY, "check_abi_version_0", || ())?;
    linker.func_wrap(
        SCHEMA_REGISTRY,
        "get_schema_definition_len",
        |mut host: Host<'_>, id: i32, out: u32| length(&mut host, definition(id), out),
    )?;
    linker.func_wrap(
        SCHEMA_REGISTRY,
        "get_schema_definition",
        |mut host: Host<'_>, id: i32, at: u32, room: u32| {
            bytes(&mut host, definition(id), (at, room))
        },
    )?;
    linker.func_wrap(
        SCHEMA_REGISTRY,
        "get_subject_schema_len",
        |mut host: Host<'_>, name: u32, name_length: u32, version: i32, out: u32| {
            let name = subject(&mut host, name, name_length)?;
            length(&mut host, subject_schema(name, version), out)
        },
    )?;
    linker.func_wrap(
        SCHEMA_REGISTRY,
        "get_subject_schema",
        |mut host: Host<'_>, name: u32, name_length: u32, version: i32, at: u32, room: u32| {
            let name = subject(&mut host, name, name_length)?;
            bytes(&mut host, subject_schema(name, version), (at, room))
        },
    )?;
    linker.func_wrap_async(
        SCHEMA_REGISTRY,
        "create_subject_schema",
        |host, arguments| Box::new(create(host, arguments)),
    )?;
    Ok(())
}

/// A look-up that gives bytes, or nothing.
type LookUp = Box<dyn Fn(&dyn SchemaRegistry) -> Option<Vec<u8>>>;

fn definition(id: i32) -> LookUp {
    Box::new(move |registry| {
        let mut out = Vec::new();
        registry.by_id(id)?.encode(&mut out);
        Some(out)
    })
}

fn subject_schema(name: Option<String>, version: i32) -> LookUp {
    Box::new(move |registry| {
        let version = (version != LATEST).then_some(version);
        let mut out = Vec::new();
        let schema = registry.by_subject(name.as_deref()?, version)?;
        schema.encode(&mut out);
        Some(out)
    })
}

/// `None` for bytes that are no text: no subject has such a name.
fn subject(host: &mut Host<'_>, at: u32, length: u32) -> Answer<Option<String>> {
    let (memory, _) = memory(host)?;
    let name = slice(memory, at, length)?;
    Ok(String::from_utf8(name.to_vec()).ok())
}

fn look_up(host: &Host<'_>, look_up: &LookUp) -> Result<Vec<u8>, i32> {
    let registry = host.data().shared.schemas.as_deref().ok_or(NOT_ENABLED)?;
    look_up(registry).ok_or(ERROR)
}

fn length(host: &mut Host<'_>, what: LookUp, out: u32) -> Answer<i32> {
    let found = match look_up(host, &what) {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let (memory, _) = memory(host)?;
    write(memory, out, &u32::try_from(found.len())?.to_le_bytes())?;
    Ok(SUCCESS)
}

fn bytes(host: &mut Host<'_>, what: LookUp, (at, room): (u32, u32)) -> Answer<i32> {
    let found = match look_up(host, &what) {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let (memory, _) = memory(host)?;
    let buffer = slice_mut(memory, at, room)?;
    let Some(buffer) = buffer.get_mut(..found.len()) else {
        return Ok(ERROR);
    };
    buffer.copy_from_slice(&found);
    Ok(i32::try_from(found.len())?)
}

/// Subject, definition, and where the id goes.
type Creation = (u32, u32, u32, u32, u32);

async fn create(
    mut host: Caller<'_, HostState>,
    (name, name_length, at, length, out): Creation,
) -> Answer<i32> {
    let Some(registry) = host.data().shared.schemas.as_ref().map(Arc::clone) else {
        return Ok(NOT_ENABLED);
    };
    let name = subject(&mut host, name, name_length)?;
    let schema = {
        let (memory, _) = memory(&mut host)?;
        let definition = slice(memory, at, length)?;
        if length > DEFINITION_BYTES_MAX {
            return Ok(ERROR);
        }
        SchemaDefinition::decode(definition)
    };
    let (Some(name), Some(schema)) = (name, schema) else {
        return Ok(ERROR);
    };
    let Some(id) = registry.register(name, schema).await else {
        return Ok(ERROR);
    };
    let (memory, _) = memory(&mut host)?;
    write(memory, out, &id.to_le_bytes())?;
    Ok(SUCCESS)
}
