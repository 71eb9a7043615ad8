/* Sends every record on as it is. */
#include "redpanda.h"

static void pass(uint8_t *payload, uint32_t length) { rp_write(payload, length); }

int main(void) { rp_run(pass); }
