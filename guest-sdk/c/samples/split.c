/* Makes a record of each element of an array, and one with their number for the output `totals`. */
#include "../wstream.h"

static char field[64] = "items";

int ws_setup(ws_text config) {
    ws_object settings;
    if (!ws_parse(config, &settings)) return ws_refuse(1, WS("the configuration is not an object"));
    ws_text given = ws_get(&settings, "field");
    if (!given.ptr) return WS_OK;
    ws_text name = ws_string(given);
    if (!name.ptr) return ws_refuse(1, WS("field is not a string"));
    if (name.len >= sizeof field) return ws_refuse(1, WS("field is longer than 63 bytes"));
    memcpy(field, name.ptr, name.len);
    field[name.len] = 0;
    return WS_OK;
}

void ws_transform(const ws_record *record) {
    ws_object order;
    if (!ws_parse(record->value, &order)) {
        ws_fail(1, WS("the value is not a JSON object"));
        return;
    }
    ws_text items = ws_get(&order, field);
    if (!items.len || *items.ptr != '[') {
        ws_fail(2, ws_join(2, ws_cstr(field), WS(" is not an array")));
        return;
    }
    ws_output out = {.partition = WS_BY_KEY, .timestamp_ms = WS_INHERIT, .key = record->key};
    uint32_t at = 0;
    unsigned count = 0;
    while (ws_element(items, &at, &out.value)) {
        ws_send(&out);
        count++;
    }
    out.output = 1;
    out.value = ws_join(3, WS("{\"count\":"), ws_integer(count), WS("}"));
    ws_send(&out);
}
