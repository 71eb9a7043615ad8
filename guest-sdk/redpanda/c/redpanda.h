/* The imports of Redpanda's ABI, version 1, as the C++ SDK and the JavaScript engine use them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define RP_IMPORT(name) __attribute__((import_module("redpanda_transform"), import_name(#name)))

RP_IMPORT(check_abi_version_1) void rp_check_abi_version_1(void);
RP_IMPORT(read_batch_header)
int32_t rp_read_batch_header(int64_t *base_offset, int32_t *record_count, int32_t *leader_epoch,
                             int16_t *attributes, int32_t *last_offset_delta,
                             int64_t *base_timestamp, int64_t *max_timestamp, int64_t *producer_id,
                             int16_t *producer_epoch, int32_t *base_sequence);
RP_IMPORT(read_next_record)
int32_t rp_read_next_record(uint8_t *attributes, int64_t *timestamp, int64_t *offset, uint8_t *at,
                            uint32_t length);
RP_IMPORT(write_record) int32_t rp_write_record(const uint8_t *at, uint32_t length);

static _Noreturn void rp_fail(const char *message) {
    fprintf(stderr, "%s\n", message);
    abort();
}

/* A record: its bytes are key, value and headers, each with its length before it. */
typedef void rp_transform(uint8_t *payload, uint32_t length);

static _Noreturn void rp_run(rp_transform *transform) {
    rp_check_abi_version_1();
    uint8_t *buffer = NULL;
    for (;;) {
        int64_t base_offset, base_timestamp, max_timestamp, producer_id;
        int32_t count, leader_epoch, last_offset_delta, base_sequence;
        int16_t attributes, producer_epoch;
        int32_t room = rp_read_batch_header(&base_offset, &count, &leader_epoch, &attributes,
                                            &last_offset_delta, &base_timestamp, &max_timestamp,
                                            &producer_id, &producer_epoch, &base_sequence);
        if (room < 0) rp_fail("no batch");
        buffer = realloc(buffer, (uint32_t)room);
        if (!buffer) rp_fail("no memory");
        for (int32_t i = 0; i < count; i++) {
            uint8_t record_attributes;
            int64_t timestamp, offset;
            int32_t length =
                rp_read_next_record(&record_attributes, &timestamp, &offset, buffer, (uint32_t)room);
            if (length < 0) rp_fail("no record");
            transform(buffer, (uint32_t)length);
        }
    }
}

/* A length, or a number of headers: zigzag in groups of seven bits. */
static int64_t rp_varint(const uint8_t **at) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    rp_fail("a length is too long");
}

static void rp_write(const uint8_t *payload, uint32_t length) {
    if (rp_write_record(payload, length) != (int32_t)length) rp_fail("the record was not taken");
}
