"""Uses the registry of schemas as a program does: Confluent's client and its serializers.

    client.py URL TOKEN

Prints what it saw as one JSON object.
"""

import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

url, token = sys.argv[1:]


def client(**more):
    return SchemaRegistryClient({"url": url, "max.retries": 0, **more})


def with_token():
    return client(
        **{
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": token,
            "bearer.auth.logical.cluster": "-",
            "bearer.auth.identity.pool.id": "-",
        }
    )


def record(*fields):
    listed = [
        {"name": name, "type": kind, **({"default": default[0]} if default else {})}
        for name, kind, *default in fields
    ]
    return json.dumps({"type": "record", "name": "Person", "fields": listed}, indent=2)


def refused(work):
    try:
        work()
    except SchemaRegistryError as error:
        return error
    raise AssertionError("it was not refused")


FIRST = record(("name", "string"), ("age", "int"))
SECOND = record(("name", "string"), ("age", "int"), ("city", "string", "?"))
BROKEN = record(("name", "string"), ("age", "int"), ("must", "string"))
THING = json.dumps(
    {"title": "Thing", "type": "object", "properties": {"name": {"type": "string"}}}
)
PEOPLE = SerializationContext("people", MessageField.VALUE)
THINGS = SerializationContext("things", MessageField.VALUE)

said = {}
value = {"name": "Ada", "age": 36}
written = AvroSerializer(with_token(), FIRST)(value, PEOPLE)
# Another client, which knows nothing yet and has no token: it reads the schema by the id.
read = AvroDeserializer(client())(written, PEOPLE)
said["avro"] = {"id": int.from_bytes(written[1:5], "big"), "read": read}

registry = with_token()
said["evolved"] = {
    "id": registry.register_schema("people-value", Schema(SECOND, "AVRO")),
    "read": AvroDeserializer(client(), SECOND)(written, PEOPLE),
}

thing = JSONSerializer(THING, with_token())({"name": "Ada"}, THINGS)
read = JSONDeserializer(None, schema_registry_client=client())(thing, THINGS)
said["json"] = {"id": int.from_bytes(thing[1:5], "big"), "read": read}

error = refused(lambda: registry.register_schema("people-value", Schema(BROKEN, "AVRO")))
said["incompatible"] = [error.http_status_code, error.error_code]
error = refused(lambda: registry.get_latest_version("nobody-value"))
said["unknown"] = [error.http_status_code, error.error_code]
said["compatible"] = [
    registry.test_compatibility("people-value", Schema(text, "AVRO")) for text in (FIRST, BROKEN)
]
registry.set_compatibility("people-value", "FULL")
said["level"] = registry.get_compatibility("people-value")
said["subjects"] = registry.get_subjects()
said["deleted"] = [
    registry.delete_subject("people-value", permanent=permanent) for permanent in (False, True)
]
error = refused(lambda: client().register_schema("people-value", Schema(FIRST, "AVRO")))
said["without_token"] = error.http_status_code
print(json.dumps(said))
