/* Adds to each object how many records with its key came so far, this one included. */
#include "../wstream.h"

int ws_setup(ws_text config) {
    (void)config;
    return WS_OK;
}

void ws_transform(const ws_record *record) {
    if (!record->key.ptr) {
        ws_fail(2, WS("the record has no key"));
        return;
    }
    int64_t count = 0;
    ws_text stored = ws_state_get(record->key);
    if (stored.ptr && !ws_whole(stored, &count)) {
        ws_fail(4, WS("what is stored is not a count"));
        return;
    }
    ws_text text = ws_integer(count + 1);
    int answer = ws_state_put(record->key, text);
    if (answer != WS_OK) {
        ws_fail(3, ws_state_limit(answer));
        return;
    }
    /* If this fails, what was just put is discarded: a record that fails does not count. */
    ws_object object;
    if (!ws_parse(record->value, &object)) {
        ws_fail(1, WS("the value is not a JSON object"));
        return;
    }
    ws_set(&object, "count", text);
    ws_output out = ws_output_of(record);
    out.value = ws_write(&object);
    ws_send(&out);
}
