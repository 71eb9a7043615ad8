"""Objects are edited by their text; what is no object is refused."""

import unittest

from wstream_guest import JsonObject


class Json(unittest.TestCase):
    def test_edits_keep_what_they_do_not_touch(self) -> None:
        rows = [
            ('{"a":1.50}', lambda o: o.set("b", "\u00fc"), '{"a":1.50,"b":"\u00fc"}'),
            ('{ "a" : 1e2 , "b" : [ "}" ] }', lambda o: o.remove("a"), '{ "b" : [ "}" ] }'),
            ('{"a":1,"b":2,"a":3}', lambda o: o.set("a", None), '{"a":null,"b":2,"a":null}'),
            ('{"a":1,"b":2,"a":3}', lambda o: o.rename("a", "b"), '{"b":1,"b":3}'),
            ('{"\\u0061":"\\\\"}', lambda o: o.rename("a", 'x"'), '{"x\\"":"\\\\"}'),
            ('{"a":1}', lambda o: o.rename("b", "c"), '{"a":1}'),
            ('{ "a" : 1 , "b":2 }\n', lambda o: o.rename("a", "c"), '{ "c" : 1 , "b":2 }'),
            ('{ "a" : 1 , "b":2 }', lambda o: o.set("c", 3), '{ "a" : 1 , "b":2,"c":3}'),
            ('{"c":{"a":1},"a":"a"}', lambda o: o.rename("a", "b"), '{"c":{"a":1},"b":"a"}'),
            ('{"\\u0061":1,"b":"a"}', lambda o: o.rename("a", "c"), '{"c":1,"b":"a"}'),
            ('{"x\\/y":1,"b":"x/y"}', lambda o: o.rename("x/y", "c"), '{"c":1,"b":"x/y"}'),
            ('{"a":{"b":1.0,"c":["}"]},"d":2}', lambda o: o.remove("d"), '{"a":{"b":1.0,"c":["}"]}}'),
            ("{ }", lambda o: o.set("a", {}), '{"a":{}}'),
        ]
        for text, edit, wanted in rows:
            with self.subTest(text):
                found = JsonObject.parse(text)
                assert found is not None
                edit(found)
                self.assertEqual(str(found), wanted)

    def test_values_are_seen_as_they_are_now(self) -> None:
        found = JsonObject.parse('{"a":{"b":[1,"]"]},"list":[ 1.0 , [2] ,"\\"," ],"a":null}')
        assert found is not None
        self.assertIsNone(found.get("a", 1))
        self.assertEqual(found.elements("list"), ["1.0", "[2]", '"\\","'])
        self.assertIsNone(found.elements("a"))
        found.set("a", 2)
        self.assertEqual((found.get("a"), found.raw("a"), "a" in found), (2, "2", True))
        found.remove("a")
        self.assertEqual((found.get("a", 3), found.raw("a"), "a" in found), (3, None, False))

    def test_what_is_no_object_is_refused(self) -> None:
        deep = '{"a":' + "[" * 127 + "]" * 127 + "}"
        deeper = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
        wide = '{"a":[' + ",".join(["[]"] * 1000) + "]}"
        for text in ("", "[]", '{"a":NaN}', '{"a":-Infinity}', "\ufeff{}", deeper):
            self.assertIsNone(JsonObject.parse(text), text[:20])
        for text in (deep, wide, '{"a":' + "9" * 5000 + "}", '{"a":"[[["}'):
            self.assertIsNotNone(JsonObject.parse(text), text[:20])
