/* Sends every record on as it is. */
#include "../wstream.h"

int ws_setup(ws_text config) {
    (void)config;
    return WS_OK;
}

void ws_transform(const ws_record *record) {
    ws_output out = ws_output_of(record);
    ws_send(&out);
}
