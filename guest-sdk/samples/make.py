#!/usr/bin/env python3
"""Writes the cases that the sample transforms pass in every language: SAMPLE.cases.jsonl.

The expected outputs are written down here or put together from their parts; nothing is computed by
a transform.
"""

import json
import pathlib

here = pathlib.Path(__file__).parent


def write(sample, cases):
    lines = (json.dumps(case, ensure_ascii=False) for case in cases)
    (here / f"{sample}.cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def passes(record):
    return {"in": record, "out": [record]}


def value(text, **more):
    return {"value": text, **more}


identity = [
    passes({"key": "k", "value": "v", "headers": [["a", "1"], ["a", None], ["", ""]]}),
    passes({"key": "", "value": ""}),
    passes({"value": "only a value"}),
    passes({"key": "only a key"}),
    passes({"key_base64": "AP+A", "value_base64": "gP8A"}),
    passes({"value": "x" * 70000}),
    passes({"value": "", "headers": [[f"h{n}", "v" * n] for n in range(40)]}),
]

project = [
    {"in": value(before, key="k", headers=[["h", "v"]]), "out": [value(after, key="k", headers=[["h", "v"]])]}
    for before, after in [
        ('{"level":"info","msg":"m"}', '{"level":"info","message":"m","env":"prod"}'),
        ('{"msg":"a","n":1.50,"big":12345678901234567890,"e":1e2}', '{"message":"a","n":1.50,"big":12345678901234567890,"e":1e2,"env":"prod"}'),
        ('{}', '{"env":"prod"}'),
        ('{"env":"test","msg":null}', '{"env":"prod","message":null}'),
        ('{"level":"DEBUG"}', '{"level":"DEBUG","env":"prod"}'),
        ('{"user":{"level":"debug","msg":"inner"}}', '{"user":{"level":"debug","msg":"inner"},"env":"prod"}'),
        ('{"tags":["a\\"b","\\\\",[],{},[[{"x":[1]}]]]}', '{"tags":["a\\"b","\\\\",[],{},[[{"x":[1]}]]],"env":"prod"}'),
        ('{"message":"old","msg":"new"}', '{"message":"new","env":"prod"}'),
        ('{"m\\u0073g":"escaped name"}', '{"message":"escaped name","env":"prod"}'),
        ('{"é":"ü","msg":"😀"}', '{"é":"ü","message":"😀","env":"prod"}'),
        ('{"' + "long" * 50 + '":"' + "text " * 500 + '","msg":1}', '{"' + "long" * 50 + '":"' + "text " * 500 + '","message":1,"env":"prod"}'),
        # As deep as every language goes: 128, with something in the innermost.
        ('{"a":' + "[" * 127 + "7" + "]" * 127 + "}", '{"a":' + "[" * 127 + "7" + "]" * 127 + ',"env":"prod"}'),
        ("{" + ",".join(f'"f{n}":{n}' for n in range(300)) + "}", "{" + ",".join(f'"f{n}":{n}' for n in range(300)) + ',"env":"prod"}'),
    ]
]
project += [
    {"in": value(text), "out": []}
    for text in ['{"level":"debug"}', '{"a":[1,2],"level":"debug","msg":"m"}', '{"level":"d\\u0065bug"}']
]
# White space between the parts of an object may be kept or not: nothing here has any.
project += [
    {"in": value(text), "error": {"code": 1, "message": "the value is not a JSON object"}}
    for text in [
        "", "[]", "1", "null", '"{}"', "{", '{"a"}', '{"a":}', '{"a":1,}', "{,}", '{"a":01}', '{"a":1.}', '{"a":+1}',
        '{"a":tru}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{"a":1} x', "{'a':1}", '{"a":[1,]}', '{"a":{"b"}}',
        '{"a":"open', '{"a":1e}', '{"a":-}', "[" * 200 + "]" * 200,
    ]
]
project += [
    {"in": {"key": "no value"}, "error": {"code": 1, "message": "the value is not a JSON object"}},
    # 0xff is no UTF-8.
    {"in": {"value_base64": "eyJhIjoi/yJ9"}, "error": {"code": 1, "message": "the value is not a JSON object"}},
]


def split_case(text, elements, **config):
    outs = [value(element, key="k") for element in elements]
    outs.append(value('{"count":%d}' % len(elements), key="k", output="totals"))
    return {**config, "in": value(text, key="k", headers=[["h", "v"]]), "out": outs}


split = [
    split_case('{"items":[1,"two",{"three":[3]}]}', ["1", '"two"', '{"three":[3]}']),
    split_case('{"items":[]}', []),
    split_case('{"items":[[],[[]],null,-0.5e-3,"a,b]"]}', ["[]", "[[]]", "null", "-0.5e-3", '"a,b]"']),
    split_case('{"items":[' + ",".join(str(n) for n in range(500)) + "]}", [str(n) for n in range(500)]),
    split_case('{"lines":["a"],"items":1}', ['"a"'], config={"field": "lines"}),
    {"in": value('{"items":{}}'), "error": {"code": 2, "message": "items is not an array"}},
    {"in": value("{}"), "error": {"code": 2, "message": "items is not an array"}},
    {"config": {"field": "a"}, "in": value('{"items":[]}'), "error": {"code": 2, "message": "a is not an array"}},
    {"in": value("no JSON"), "error": {"code": 1, "message": "the value is not a JSON object"}},
    {"config": {"field": 1}, "in": value("{}"), "error": {"code": 1, "message": "field is not a string"}},
]

strict = [
    passes(value('{"amount":12.50}')),
    passes(value('{"amount":0,"currency":"EUR"}')),
    passes(value('{"amount":1e3}')),
]
strict += [
    {"in": value(text), "error": {"code": 3, "message": f"amount is not a number from 0 on: {shown}"}}
    for text, shown in [
        ('{"amount":"12"}', '"12"'),
        ('{"amount":-1}', "-1"),
        ('{"amount":null}', "null"),
        ('{"amount":{"a":1}}', '{"a":1}'),
        ("{}", "missing"),
    ]
]
strict += [{"in": value("[1]"), "error": {"code": 1, "message": "the value is not a JSON object"}}]

# What a state is kept for: a case with records before its own has them in the same instance.
NO_KEY = {"code": 2, "message": "the record has no key"}
NOT_OBJECT = {"code": 1, "message": "the value is not a JSON object"}
BAD_KEY = {"code": 3, "message": "a key has 1 to 4096 bytes"}


def after(records, record, *outs, **more):
    return {**more, "after": records, "in": record, "out": list(outs)}


def keyed(key, text="{}", **more):
    return value(text, key=key, **more)


def odd(text):
    return {"key_base64": "AP+A", "value": text, "headers": [["h", {"base64": "gP8A"}], ["n", None]]}


count = [
    {"in": keyed("k", '{"a":1.50}', headers=[["h", "v"]]), "out": [keyed("k", '{"a":1.50,"count":1}', headers=[["h", "v"]])]},
    after([keyed("k"), keyed("other"), keyed("k", '{"a":2}')], keyed("k"), keyed("k", '{"count":3}')),
    after([keyed("other")], keyed("k"), keyed("k", '{"count":1}')),
    after([keyed("k")] * 11, keyed("k", '{"count":"old","b":2}'), keyed("k", '{"count":12,"b":2}')),
    # What a record that fails has counted is discarded.
    after([keyed("k"), keyed("k", "no JSON")], keyed("k"), keyed("k", '{"count":2}')),
    # Bytes that are no text: components have a form of their own for them.
    after([odd("{}")], odd("{}"), odd('{"count":2}')),
    after([keyed("\u00fc")], keyed("\u00fc"), keyed("\u00fc", '{"count":2}')),
    after([keyed("k" * 4096)], keyed("k" * 4096), keyed("k" * 4096, '{"count":2}')),
    {"in": keyed("k", "no JSON"), "error": NOT_OBJECT},
    {"in": {"key": "k"}, "error": NOT_OBJECT},
    {"in": value("{}"), "error": NO_KEY},
    {"in": keyed(""), "error": BAD_KEY},
    {"in": keyed("k" * 4097), "error": BAD_KEY},
]

by_id = {"config": {"field": "id"}}
dedupe = [
    passes(keyed("k", "any value", headers=[["h", None]])),
    passes({"key": "k"}),
    after([keyed("k", "1")], keyed("k", "2")),
    after([keyed("k"), keyed("k")], keyed("k")),
    after([keyed("k")], keyed("other", "1"), keyed("other", "1")),
    after([keyed("k")], keyed("k"), config={"ttl_ms": 3600000}),
    after([keyed("a", '{"id":7}')], keyed("b", '{"id":7,"n":1}'), **by_id),
    after([keyed("a", '{"id":7}')], keyed("a", '{"id":8}'), keyed("a", '{"id":8}'), **by_id),
    after([value('{"id":"7"}')], value('{"id":7}'), value('{"id":7}'), **by_id),
    after([value('{"id":"a"}')], value('{"id":"\\u0061"}'), **by_id),
    after([value('{"id":{"a":[1]}}')], value('{"id":{"a":[1]}}'), **by_id),
    {**by_id, "in": value('{"id":null}'), "error": {"code": 2, "message": "id is missing"}},
    {**by_id, "in": value("{}"), "error": {"code": 2, "message": "id is missing"}},
    {**by_id, "in": value("no JSON"), "error": NOT_OBJECT},
    {**by_id, "in": value('{"id":"%s"}' % ("i" * 4096)), "error": BAD_KEY},
    {"in": value("{}"), "error": NO_KEY},
    {"in": keyed(""), "error": BAD_KEY},
]

users = {"config": {"table": "users"}}


def user(key, text):
    return {"topic": "users", "key": key, **({} if text is None else {"value": text})}


def order(text, key="u", **more):
    return {"topic": "orders", "key": key, "value": text, **more}


ada = user("u", '{"name":"Ada","n":1.50}')
joined = keyed("u", '{"total":12.50,"table":{"name":"Ada","n":1.50}}', headers=[["h", "v"]])
enrich = [
    {**users, "in": ada, "out": []},
    after([ada], order('{"total":12.50}', headers=[["h", "v"]]), joined, **users),
    after([ada, user("u", '{"name":"Eve"}')], order("{}"), keyed("u", '{"table":{"name":"Eve"}}'), **users),
    after([ada], order('{"table":1,"b":2}'), keyed("u", '{"table":{"name":"Ada","n":1.50},"b":2}'), **users),
    after([ada, order("{}")], order("{}"), keyed("u", '{"table":{"name":"Ada","n":1.50}}'), **users),
    after([ada, user("u", None)], order("{}"), keyed("u"), **users),
    after([user("u", None)], order("{}"), keyed("u"), **users),
    after([ada], order("no JSON", "other"), keyed("other", "no JSON"), **users),
    after([ada], {"topic": "orders", "value": "{}"}, value("{}"), **users),
    after([ada, user("u", "no JSON")], order("{}"), keyed("u", '{"table":{"name":"Ada","n":1.50}}'), **users),
    {**users, "after": [ada], "in": order("no JSON"), "error": NOT_OBJECT},
    {**users, "in": user("u", "[]"), "error": NOT_OBJECT},
    {**users, "in": {"topic": "users", "value": "{}"}, "error": NO_KEY},
    {**users, "in": user("", "{}"), "error": BAD_KEY},
    {"in": ada, "error": {"code": 1, "message": "table is missing"}},
]

samples = {
    "identity": identity,
    "project": project,
    "split": split,
    "strict": strict,
    "count": count,
    "dedupe": dedupe,
    "enrich": enrich,
}
for name, cases in samples.items():
    write(name, cases)
