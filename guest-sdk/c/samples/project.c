/* Drops debug events, calls `msg` `message`, and says where events come from. */
#include "../wstream.h"

int ws_setup(ws_text config) {
    (void)config;
    return WS_OK;
}

void ws_transform(const ws_record *record) {
    ws_object event;
    if (!ws_parse(record->value, &event)) {
        ws_fail(1, WS("the value is not a JSON object"));
        return;
    }
    if (ws_is(ws_get(&event, "level"), "debug")) return;
    ws_rename(&event, "msg", "message");
    ws_set(&event, "env", WS("\"prod\""));
    ws_output out = ws_output_of(record);
    out.value = ws_write(&event);
    ws_send(&out);
}
