/* Passes records whose `amount` is a number from 0 on, and fails the others. */
#include "../wstream.h"

int ws_setup(ws_text config) {
    (void)config;
    return WS_OK;
}

void ws_transform(const ws_record *record) {
    ws_object payment;
    if (!ws_parse(record->value, &payment)) {
        ws_fail(1, WS("the value is not a JSON object"));
        return;
    }
    ws_text raw = ws_get(&payment, "amount");
    double amount;
    if (!ws_number(raw, &amount) || amount < 0) {
        ws_text shown = raw.ptr ? raw : WS("missing");
        ws_fail(3, ws_join(2, WS("amount is not a number from 0 on: "), shown));
        return;
    }
    ws_output out = ws_output_of(record);
    ws_send(&out);
}
