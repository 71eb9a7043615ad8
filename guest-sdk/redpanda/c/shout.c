/* Writes the value in capitals, twice if it ends with an exclamation mark; drops records without a
 * value and ends at empty ones. */
#include "redpanda.h"

static void shout(uint8_t *payload, uint32_t length) {
    const uint8_t *at = payload;
    int64_t key = rp_varint(&at);
    if (key > 0) at += key;
    int64_t bytes = rp_varint(&at);
    if (bytes < 0) return;
    if (bytes == 0) rp_fail("nothing to shout");
    uint8_t *value = payload + (at - payload);
    for (int64_t i = 0; i < bytes; i++) {
        if (value[i] >= 'a' && value[i] <= 'z') value[i] -= 'a' - 'A';
    }
    rp_write(payload, length);
    if (value[bytes - 1] == '!') rp_write(payload, length);
}

int main(void) { rp_run(shout); }
