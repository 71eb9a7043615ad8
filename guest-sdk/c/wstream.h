/* The wstream SDK for C: a transform is one function that gets each record and says what becomes
 * of it.
 *
 *     #include "wstream.h"
 *
 *     int ws_setup(ws_text config) { (void)config; return WS_OK; }
 *
 *     void ws_transform(const ws_record *record) {
 *         ws_object event;
 *         if (!ws_parse(record->value, &event)) { ws_fail(1, WS("no JSON object")); return; }
 *         if (ws_is(ws_get(&event, "level"), "debug")) return;   // no output: dropped
 *         ws_rename(&event, "msg", "message");
 *         ws_output out = ws_output_of(record);
 *         out.value = ws_write(&event);
 *         ws_send(&out);
 *     }
 *
 * Include it in exactly one source file and compile that with
 *
 *     clang --target=wasm32-wasi -mexec-model=reactor -mbulk-memory -msimd128 -O2 -s
 *     zig cc -target wasm32-wasi -mexec-model=reactor -O2 -s
 *
 * Texts are a pointer and a length, not ended by a zero; a null pointer is null, which differs from
 * empty. What a record or the JSON functions give is valid until ws_transform returns. When memory
 * runs out the call traps, and the host names the cause. State in memory is lost with an instance
 * that trapped: keep in it what makes the work faster, not what results depend on, which is for
 * ws_state_put.
 *
 * It speaks wstream_v1, see ABI.md. */
#ifndef WSTREAM_H
#define WSTREAM_H

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"
#endif

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts ---------------------------------------------------------------------------------- */

typedef struct {
    const char *ptr;
    uint32_t len;
} ws_text;

/* A literal as a text. */
#define WS(literal) ((ws_text){(literal), sizeof(literal) - 1})
#define WS_NULL ((ws_text){NULL, 0})

static inline ws_text ws_cstr(const char *text) { return (ws_text){text, (uint32_t)strlen(text)}; }

/* Copies of unknown length are calls out of the module, which take as long as some hundred bytes:
 * up to this length they are made here. */
enum { WS_COPY_MAX = 256 };

__attribute__((noinline)) static void ws_copy_short(char *to, const char *from, size_t len) {
    if (len >= 64) {
        for (size_t i = 0; i + 64 < len; i += 64) memcpy(to + i, from + i, 64);
        memcpy(to + len - 64, from + len - 64, 64);
    } else if (len >= 32) {
        memcpy(to, from, 32);
        memcpy(to + len - 32, from + len - 32, 32);
    } else if (len >= 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else {
        for (size_t i = 0; i < len; i++) to[i] = from[i];
    }
}

/* Copies bytes that do not overlap, and says where they end. */
static inline char *ws_copy(char *to, const char *from, size_t len) {
    if (len > WS_COPY_MAX) {
        memcpy(to, from, len);
    } else {
        ws_copy_short(to, from, len);
    }
    return to + len;
}

/* Whether so many bytes are the same. */
static inline bool ws_equal(const char *a, const char *b, size_t len) {
    uint64_t x, y;
    if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
            if (x != y) return false;
        }
        memcpy(&x, a + len - 8, 8);
        memcpy(&y, b + len - 8, 8);
        return x == y;
    }
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i]) return false;
    return true;
}

static inline bool ws_same(ws_text a, ws_text b) {
    return a.len == b.len && a.ptr && b.ptr && ws_equal(a.ptr, b.ptr, a.len);
}

/* ---- records -------------------------------------------------------------------------------- */

typedef struct {
    ws_text topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* since 1970; -1: unknown */
    ws_text key, value;
    uint32_t header_count;
    ws_text headers; /* as they came; read them with ws_header_next */
} ws_record;

typedef struct {
    ws_text name, value;
} ws_header;

/* The next header; start with at = 0. Copy headers by ws_output_of, which costs one copy. */
static bool ws_header_next(const ws_record *record, uint32_t *at, ws_header *header);

enum { WS_BY_KEY = -1 };
#define WS_INHERIT INT64_MIN

typedef struct {
    uint16_t output;      /* 0: the default */
    int32_t partition;    /* WS_BY_KEY, or a number */
    int64_t timestamp_ms; /* WS_INHERIT, or milliseconds since 1970 */
    ws_text key, value;
    const ws_record *headers_of; /* whose headers to copy, or NULL */
    const ws_header *headers;    /* more headers */
    uint32_t header_count;
} ws_output;

/* The record's key, value, headers and time. */
static inline ws_output ws_output_of(const ws_record *record) {
    return (ws_output){0, WS_BY_KEY, WS_INHERIT, record->key, record->value, record, NULL, 0};
}

/* ---- what you write ------------------------------------------------------------------------- */

enum { WS_OK = 0 };

/* Called once with the configuration, a JSON object: WS_OK, or the value of ws_refuse. */
int ws_setup(ws_text config);
/* Called for each record. */
void ws_transform(const ws_record *record);

/* ---- what you call -------------------------------------------------------------------------- */

enum ws_level { WS_TRACE, WS_DEBUG, WS_INFO, WS_WARN, WS_ERROR };

static void ws_send(const ws_output *output);
/* The record failed: its outputs so far are taken back. Codes are 0 to 999. */
static void ws_fail(uint16_t code, ws_text message);
/* Refuses the configuration: `return ws_refuse(1, WS("field is missing"));` */
static int ws_refuse(uint16_t code, ws_text message);
static void ws_log(enum ws_level level, ws_text line);
static void ws_count(ws_text name, double by);
static void ws_gauge(ws_text name, double value);
static void ws_observe(ws_text name, double value);
static int64_t ws_now_ms(void);
/* Texts put together: `ws_join(3, WS("no "), name, WS(" here"))`. */
static ws_text ws_join(int count, ...);
/* Memory until ws_transform returns. */
static void *ws_scratch(size_t bytes);

/* ---- keyed state ---------------------------------------------------------------------------- */

/* The table of the pipeline's step and partition that the instance works for: what a record that
 * succeeds writes is there for every later record, after a restart and on another node too. A record
 * sees what it and the records before it wrote; what a record wrote that fails is discarded. Only a
 * module that calls these functions imports the host's table. */

/* The value of a key; null ptr if there is none, or if it has expired. */
static ws_text ws_state_get(ws_text key);
/* Sets a key, for good: WS_OK, or a number below 0 for ws_state_limit. */
static int ws_state_put(ws_text key, ws_text value);
/* Sets a key for so many milliseconds, at least one. */
static int ws_state_put_for(ws_text key, ws_text value, int64_t ttl_ms);
/* Which limit kept an entry from being set: `ws_fail(3, ws_state_limit(answer));` */
static ws_text ws_state_limit(int answer);
/* Removes a key; false if there was none. */
static bool ws_state_delete(ws_text key);

typedef struct {
    ws_text key, value; /* of the entry; valid until the next one is asked for */
    ws_text prefix;
    char *page;
    uint32_t room, at, end;
} ws_scan;

/* The entries whose key begins with the prefix, in the order of the keys, page by page: a page shows
 * the table as it is when it is read.
 * `ws_scan scan = ws_state_scan(WS("")); while (ws_scan_next(&scan)) ...` */
static inline ws_scan ws_state_scan(ws_text prefix) { return (ws_scan){.prefix = prefix}; }
/* The next entry; false at the end. */
static bool ws_scan_next(ws_scan *scan);

/* ---- JSON ----------------------------------------------------------------------------------- */

/* An object whose fields are looked up and edited where they stand: what is not touched is copied
 * as it is, numbers keep their text. Values are raw JSON: `"text"` with its quotes, `1.50`, `[1]`.
 * Of fields with one name the last counts; an edit changes all of them. */
typedef struct {
    ws_text name;  /* without quotes, escapes as written */
    ws_text value; /* raw; null ptr: removed */
    bool escaped;  /* the name has escapes */
    bool touched;  /* it does not stand in the source as it is */
} ws_field;

typedef struct {
    ws_text source;
    ws_field *fields;
    uint32_t *tags; /* the first four bytes of the names, to look for them */
    uint32_t count, room;
    uint32_t grown;       /* what edits may add at most */
    bool edited, escaped; /* a name has escapes */
} ws_object;

/* Reads an object; false if the text is not exactly one JSON object, or deeper than 128. */
static bool ws_parse(ws_text value, ws_object *object);
/* A field's raw value; null ptr if there is no such field. */
static ws_text ws_get(const ws_object *object, const char *name);
static bool ws_remove(ws_object *object, const char *name);
/* Keeps the place; a field that had the new name goes. False if there is no such field. */
static bool ws_rename(ws_object *object, const char *from, const char *to);
/* Sets a field to raw JSON, in its place or behind the last field. */
static void ws_set(ws_object *object, const char *name, ws_text raw);
/* The object as it is now. */
static ws_text ws_write(const ws_object *object);

/* Whether a raw value is this string. */
static bool ws_is(ws_text raw, const char *string);
/* The text of a raw string; null ptr if it is none. */
static ws_text ws_string(ws_text raw);
/* A text as a raw string. */
static ws_text ws_quote(ws_text text);
/* A whole number as text, which is raw JSON too. */
static ws_text ws_integer(int64_t number);
/* Whether a raw value is a number, and which. */
static bool ws_number(ws_text raw, double *number);
/* Whether a raw value is a whole number that is written as one and fits, and which. */
static bool ws_whole(ws_text raw, int64_t *number);
/* The next element of a raw array; start with *at = 0. False behind the last, or if it is none. */
static bool ws_element(ws_text array, uint32_t *at, ws_text *element);

/* ============================================================================================ */
/* How it is done                                                                                */
/* ============================================================================================ */

#define WS_EXPORT(name) __attribute__((export_name(#name), used))
#define WS_IMPORT(name) __attribute__((import_module("wstream_v1"), import_name(#name)))

WS_IMPORT(log) extern void ws_import_log(int32_t level, const char *ptr, uint32_t len);
WS_IMPORT(metric)
extern void ws_import_metric(int32_t kind, const char *ptr, uint32_t len, double value);
WS_IMPORT(fail) extern void ws_import_fail(int32_t code, const char *ptr, uint32_t len);
WS_IMPORT(now_ms) extern int64_t ws_import_now_ms(void);

/* ---- memory --------------------------------------------------------------------------------- */

typedef struct {
    char *ptr;
    size_t len, room;
} ws_buffer;

static void *ws_have(void *memory) {
    if (!memory) __builtin_trap(); /* the host names it `memory` */
    return memory;
}

/* Room for `bytes` more, at most twice what is needed. */
static inline char *ws_more(ws_buffer *buffer, size_t bytes) {
    size_t need = buffer->len + bytes;
    if (need > buffer->room) {
        size_t room = need < 2048 ? 4096 : need * 2;
        char *grown = realloc(buffer->ptr, room);
        if (!grown) grown = realloc(buffer->ptr, room = need);
        buffer->ptr = ws_have(grown);
        buffer->room = room;
    }
    char *at = buffer->ptr + buffer->len;
    buffer->len = need;
    return at;
}

/* Blocks for one record: the largest is kept for the next. */
typedef struct ws_block {
    struct ws_block *next;
    size_t used, room;
} ws_block;

static ws_block *ws_blocks;

static void *ws_scratch(size_t bytes) {
    bytes = (bytes + 7) & ~(size_t)7;
    if (!ws_blocks || ws_blocks->room - ws_blocks->used < bytes) {
        size_t room = ws_blocks ? ws_blocks->room * 2 : 16384;
        if (room < bytes) room = bytes;
        ws_block *block = ws_have(malloc(sizeof(ws_block) + room));
        *block = (ws_block){ws_blocks, 0, room};
        ws_blocks = block;
    }
    char *at = (char *)(ws_blocks + 1) + ws_blocks->used;
    ws_blocks->used += bytes;
    return at;
}

static void ws_scratch_reset(void) {
    if (!ws_blocks) return;
    while (ws_blocks->next) {
        ws_block *older = ws_blocks->next;
        ws_blocks->next = older->next;
        free(older);
    }
    ws_blocks->used = 0;
}

static ws_text ws_join(int count, ...) {
    __builtin_va_list list, again;
    __builtin_va_start(list, count);
    __builtin_va_copy(again, list);
    uint32_t len = 0;
    for (int i = 0; i < count; i++) len += __builtin_va_arg(list, ws_text).len;
    char *all = ws_scratch(len), *at = all;
    for (int i = 0; i < count; i++) {
        ws_text part = __builtin_va_arg(again, ws_text);
        at = ws_copy(at, part.ptr, part.len);
    }
    __builtin_va_end(list);
    __builtin_va_end(again);
    return (ws_text){all, len};
}

/* ---- frames --------------------------------------------------------------------------------- */

static ws_buffer ws_in, ws_out;
static volatile uint32_t ws_cursor;
static size_t ws_record_start; /* where the record's outputs begin */
static bool ws_failed;

static inline uint32_t ws_u32(const char *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* A length and its bytes; the host wrote them, so they are in the frame. */
static inline const char *ws_take(const char *at, ws_text *text) {
    int32_t len = (int32_t)ws_u32(at);
    at += 4;
    *text = len < 0 ? WS_NULL : (ws_text){at, (uint32_t)len};
    return at + text->len;
}

static bool ws_header_next(const ws_record *record, uint32_t *at, ws_header *header) {
    if (*at >= record->headers.len) return false;
    const char *next = ws_take(record->headers.ptr + *at, &header->name);
    next = ws_take(next, &header->value);
    *at = (uint32_t)(next - record->headers.ptr);
    return true;
}

static inline char *ws_put(char *at, const void *value, size_t len) {
    memcpy(at, value, len);
    return at + len;
}

static inline char *ws_put_text(char *at, ws_text text) {
    int32_t len = text.ptr ? (int32_t)text.len : -1;
    at = ws_put(at, &len, 4);
    return text.len ? ws_copy(at, text.ptr, text.len) : at;
}

static void ws_send(const ws_output *output) {
    if (ws_failed) return;
    size_t len = 31 + (size_t)output->key.len + output->value.len;
    uint32_t headers = output->header_count;
    if (output->headers_of) {
        len += output->headers_of->headers.len;
        headers += output->headers_of->header_count;
    }
    for (uint32_t i = 0; i < output->header_count; i++)
        len += 8 + output->headers[i].name.len + output->headers[i].value.len;
    uint32_t index = ws_cursor;
    uint8_t kind = 0;
    char *at = ws_more(&ws_out, len);
    at = ws_put(at, &index, 4);
    at = ws_put(at, &kind, 1);
    at = ws_put(at, &output->output, 2);
    at = ws_put(at, &output->partition, 4);
    at = ws_put(at, &output->timestamp_ms, 8);
    at = ws_put_text(at, output->key);
    at = ws_put_text(at, output->value);
    at = ws_put(at, &headers, 4);
    if (output->headers_of && output->headers_of->headers.len)
        at = ws_copy(at, output->headers_of->headers.ptr, output->headers_of->headers.len);
    for (uint32_t i = 0; i < output->header_count; i++) {
        ws_text name = output->headers[i].name;
        at = ws_put_text(at, name.ptr ? name : WS(""));
        at = ws_put_text(at, output->headers[i].value);
    }
}

static void ws_fail(uint16_t code, ws_text message) {
    if (ws_failed) return;
    ws_failed = true;
    ws_out.len = ws_record_start;
    uint32_t index = ws_cursor;
    uint8_t kind = 1;
    char *at = ws_more(&ws_out, 11 + (size_t)message.len);
    at = ws_put(at, &index, 4);
    at = ws_put(at, &kind, 1);
    at = ws_put(at, &code, 2);
    at = ws_put(at, &message.len, 4);
    ws_copy(at, message.ptr, message.len);
}

static int ws_refuse(uint16_t code, ws_text message) {
    ws_import_fail(code, message.ptr, message.len);
    return -1;
}

static void ws_log(enum ws_level level, ws_text line) {
    ws_import_log((int32_t)level, line.ptr, line.len);
}
static void ws_count(ws_text name, double by) { ws_import_metric(0, name.ptr, name.len, by); }
static void ws_gauge(ws_text name, double value) { ws_import_metric(1, name.ptr, name.len, value); }
static void ws_observe(ws_text name, double value) {
    ws_import_metric(2, name.ptr, name.len, value);
}
static int64_t ws_now_ms(void) { return ws_import_now_ms(); }

/* ---- the table of keyed state --------------------------------------------------------------- */

#define WS_IMPORT_STATE(name) __attribute__((import_module("wstream_kv_v1"), import_name(#name)))

/* The linker leaves out what is not called. */
WS_IMPORT_STATE(get)
extern int64_t ws_import_get(const char *key, uint32_t key_len, char *at, uint32_t room);
WS_IMPORT_STATE(put)
extern int32_t ws_import_put(const char *key, uint32_t key_len, const char *value, uint32_t len,
                             int64_t ttl_ms);
WS_IMPORT_STATE(delete) extern int32_t ws_import_delete(const char *key, uint32_t key_len);
WS_IMPORT_STATE(scan)
extern int64_t ws_import_scan(const char *prefix, uint32_t prefix_len, const char *after,
                              uint32_t after_len, char *at, uint32_t room);

/* What a value is asked for with first; a longer one is asked for again. */
enum { WS_VALUE_BYTES_USUAL = 256 };
/* What a page of a scan holds; an entry that is larger has its page to itself. */
enum { WS_PAGE_BYTES = 16384 };
enum { WS_KEY_BYTES_MAX = 4096 };

static ws_text ws_state_get(ws_text key) {
    uint32_t room = WS_VALUE_BYTES_USUAL;
    while (true) {
        char *value = ws_scratch(room);
        int64_t len = ws_import_get(key.ptr, key.len, value, room);
        if (len < 0) return WS_NULL;
        if (len <= room) return (ws_text){value, (uint32_t)len};
        room = (uint32_t)len;
    }
}

static int ws_state_put(ws_text key, ws_text value) {
    return ws_import_put(key.ptr, key.len, value.ptr, value.len, 0);
}

static int ws_state_put_for(ws_text key, ws_text value, int64_t ttl_ms) {
    /* Zero would be for good. */
    return ws_import_put(key.ptr, key.len, value.ptr, value.len, ttl_ms < 1 ? 1 : ttl_ms);
}

static ws_text ws_state_limit(int answer) {
    switch (answer) {
    case WS_OK: return WS("none");
    case -1: return WS("a key has 1 to 4096 bytes");
    case -2: return WS("a value has at most 1048576 bytes");
    case -3: return WS("the state has as many entries as it may have");
    case -4: return WS("the state has as many bytes as it may have");
    default: return WS("one call may write at most 67108864 bytes of state");
    }
}

static bool ws_state_delete(ws_text key) { return ws_import_delete(key.ptr, key.len) != 0; }

static bool ws_scan_turn(ws_scan *scan) {
    char after[WS_KEY_BYTES_MAX]; /* out of the page, which is written again */
    if (scan->key.len) memcpy(after, scan->key.ptr, scan->key.len);
    if (!scan->page) scan->page = ws_scratch(scan->room = WS_PAGE_BYTES);
    while (true) {
        int64_t len = ws_import_scan(scan->prefix.ptr, scan->prefix.len, after, scan->key.len,
                                     scan->page, scan->room);
        scan->at = 0;
        scan->end = len < 0 ? 0 : (uint32_t)len;
        if (len >= 0) return len > 0;
        scan->page = ws_scratch(scan->room = (uint32_t)-len); /* what the next entry needs */
    }
}

/* A length and its bytes; the host wrote them, so they are in the page. */
static ws_text ws_scan_take(ws_scan *scan) {
    ws_text text;
    memcpy(&text.len, scan->page + scan->at, 4);
    text.ptr = scan->page + scan->at + 4;
    scan->at += 4 + text.len;
    return text;
}

static bool ws_scan_next(ws_scan *scan) {
    if (scan->at == scan->end && !ws_scan_turn(scan)) return false;
    scan->key = ws_scan_take(scan);
    scan->value = ws_scan_take(scan);
    return true;
}

/* ---- exports -------------------------------------------------------------------------------- */

WS_EXPORT(wstream_abi_v1) void wstream_abi_v1(void) {}

WS_EXPORT(wstream_cursor) uint32_t wstream_cursor(void) { return (uint32_t)(uintptr_t)&ws_cursor; }

WS_EXPORT(wstream_alloc) void *wstream_alloc(uint32_t len) {
    if (len > ws_in.room) {
        free(ws_in.ptr);
        ws_in.ptr = malloc(len);
        ws_in.room = ws_in.ptr ? len : 0;
    }
    return ws_in.ptr;
}

WS_EXPORT(wstream_init) int32_t wstream_init(const char *ptr, uint32_t len) {
    int answer = ws_setup((ws_text){ptr, len});
    ws_scratch_reset();
    return answer;
}

WS_EXPORT(wstream_process) uint64_t wstream_process(const char *at, uint32_t len) {
    (void)len;
    uint16_t topic;
    memcpy(&topic, at, 2);
    ws_record record = {.topic = {at + 2, topic}};
    at += 2 + topic;
    record.partition = (int32_t)ws_u32(at);
    uint32_t count = ws_u32(at + 4);
    at += 8;
    ws_out.len = 0;
    for (uint32_t i = 0; i < count; i++) {
        ws_cursor = i;
        ws_record_start = ws_out.len;
        ws_failed = false;
        memcpy(&record.offset, at, 8);
        memcpy(&record.timestamp_ms, at + 8, 8);
        at = ws_take(at + 16, &record.key);
        at = ws_take(at, &record.value);
        record.header_count = ws_u32(at);
        record.headers.ptr = at += 4;
        ws_text skipped;
        for (uint32_t h = 0; h < record.header_count; h++) at = ws_take(ws_take(at, &skipped), &skipped);
        record.headers.len = (uint32_t)(at - record.headers.ptr);
        ws_transform(&record);
        ws_scratch_reset();
    }
    return (uint64_t)(uintptr_t)ws_out.ptr << 32 | ws_out.len;
}

/* ---- reading JSON --------------------------------------------------------------------------- */

enum { WS_DEPTH_MAX = 128 };

/* What passes a part of a text returns the place behind it, or NULL if it is no JSON. */

/* What is rare in strings: of the last odd one whether it has escapes, and whether any may have had
 * bytes above 127, which are checked at the end. */
static bool ws_met_escapes, ws_met_wide;

static inline const char *ws_space(const char *at, const char *end) {
    while (at < end && (uint8_t)*at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
    return at;
}

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
/* A bit for each of 16 bytes at which plain text in a string ends: quotes, backslashes, control
 * characters and bytes above 127, which as signed numbers are both below a space. */
static inline uint32_t ws_stops(const char *at) {
    v128_t bytes = wasm_v128_load(at);
    v128_t special = wasm_v128_or(wasm_i8x16_eq(bytes, wasm_i8x16_splat('"')),
                                  wasm_i8x16_eq(bytes, wasm_i8x16_splat('\\')));
    return wasm_i8x16_bitmask(wasm_v128_or(special, wasm_i8x16_lt(bytes, wasm_i8x16_splat(' '))));
}

/* The same without bytes above 127, which are noted. */
static inline uint32_t ws_odd_stops(const char *at, uint32_t *wide) {
    v128_t bytes = wasm_v128_load(at);
    v128_t special = wasm_v128_or(wasm_i8x16_eq(bytes, wasm_i8x16_splat('"')),
                                  wasm_i8x16_eq(bytes, wasm_i8x16_splat('\\')));
    *wide |= wasm_i8x16_bitmask(bytes);
    return wasm_i8x16_bitmask(wasm_v128_or(special, wasm_u8x16_le(bytes, wasm_i8x16_splat(0x1f))));
}

/* A bit for each of 16 bytes that is no digit. */
static inline uint32_t ws_others(const char *at) {
    v128_t values = wasm_i8x16_sub(wasm_v128_load(at), wasm_i8x16_splat('0'));
    return wasm_i8x16_bitmask(wasm_u8x16_gt(values, wasm_i8x16_splat(9)));
}
#else
static inline uint32_t ws_stops(const char *at) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)(at[i] == '"' || at[i] == '\\' || (int8_t)at[i] < ' ') << i;
    return bits;
}

static inline uint32_t ws_odd_stops(const char *at, uint32_t *wide) {
    *wide = 1;
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)(at[i] == '"' || at[i] == '\\' || (uint8_t)at[i] < ' ') << i;
    return bits;
}

static inline uint32_t ws_others(const char *at) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= (uint32_t)((uint8_t)(at[i] - '0') > 9) << i;
    return bits;
}
#endif

static bool ws_hex4(const char *at, const char *end, uint32_t *unit) {
    if (end - at < 4) return false;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return false;
        *unit = *unit * 16 + digit;
    }
    return true;
}

static inline bool ws_is_escape(char c) {
    switch (c) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return true;
    default: return false;
    }
}

/* Any string, from anywhere in it. */
__attribute__((noinline)) static const char *ws_odd_string(const char *at, const char *end) {
    uint32_t wide = 0, unit;
    ws_met_escapes = false;
    for (;; at++) {
        uint32_t stops = 0;
        while (end - at >= 32 && !(stops = ws_odd_stops(at, &wide) | ws_odd_stops(at + 16, &wide) << 16))
            at += 32;
        if (!stops && end - at >= 16 && !(stops = ws_odd_stops(at, &wide))) at += 16;
        if (stops) at += __builtin_ctz(stops);
        if (at >= end || (uint8_t)*at < 0x20) return NULL;
        if (*at == '"') break;
        if (*at == '\\') {
            ws_met_escapes = true;
            if (++at >= end) return NULL;
            if (*at == 'u' ? !ws_hex4(at + 1, end, &unit) : !ws_is_escape(*at)) return NULL;
        }
        wide |= (uint8_t)*at & 0x80;
    }
    if (wide) ws_met_wide = true;
    return at + 1;
}

/* A string whose text begins here, and whether it has escapes. */
static inline const char *ws_pass_string(const char *at, const char *end, bool *escaped) {
    *escaped = false;
    if (end - at >= 16) {
        uint32_t stops = ws_stops(at);
        if (stops) {
            at += __builtin_ctz(stops);
            if (*at == '"') return at + 1;
        } else {
            at += 16;
        }
    }
    at = ws_odd_string(at, end);
    *escaped = ws_met_escapes;
    return at;
}

static inline const char *ws_digits(const char *at, const char *end) {
    while (at < end && *at >= '0' && *at <= '9') at++;
    return at;
}

__attribute__((noinline)) static const char *ws_odd_number(const char *at, const char *end) {
    if (at < end && *at == '-') at++;
    const char *whole = at;
    at = ws_digits(at, end);
    bool good = at > whole && (*whole != '0' || at == whole + 1);
    if (good && at < end && *at == '.') {
        const char *fraction = ++at;
        good = (at = ws_digits(at, end)) > fraction;
    }
    if (good && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        const char *exponent = at;
        good = (at = ws_digits(at, end)) > exponent;
    }
    return good ? at : NULL;
}

/* A number: nearly all fit 16 bytes, with a fraction, without exponent. */
static inline const char *ws_pass_number(const char *at, const char *end) {
    if (end - at < 17) return ws_odd_number(at, end);
    const char *digits = at + (*at == '-');
    uint32_t others = ws_others(digits) | 0x10000;
    uint32_t whole = (uint32_t)__builtin_ctz(others), behind = whole;
    bool odd = whole == 0 || (*digits == '0' && whole != 1);
    if (whole < 16 && digits[whole] == '.') {
        uint32_t part = (uint32_t)__builtin_ctz(others >> (whole + 1) | 0x10000);
        behind += 1 + part;
        odd |= part == 0;
    }
    odd |= behind >= 16 || (digits[behind] | 0x20) == 'e';
    return odd ? ws_odd_number(at, end) : digits + behind;
}

static inline const char *ws_pass_word(const char *at, const char *end, const char *word, size_t len) {
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

static const char *ws_pass_list(const char *at, const char *end, int depth);

/* A value, inside so many lists. */
__attribute__((always_inline)) static inline const char *ws_pass_value(const char *at, const char *end, int depth) {
    bool escaped;
    if (at >= end) return NULL;
    if (*at == '"') return ws_pass_string(at + 1, end, &escaped);
    if ((*at | 0x20) == '{') return ws_pass_list(at, end, depth);
    switch (*at) {
    case 't': return ws_pass_word(at, end, "true", 4);
    case 'f': return ws_pass_word(at, end, "false", 5);
    case 'n': return ws_pass_word(at, end, "null", 4);
    default: return ws_pass_number(at, end);
    }
}

/* A field's name, whose quote is here, and its colon; the place of the value. */
static inline const char *ws_pass_name(const char *at, const char *end, ws_text *name, bool *escaped) {
    if (at >= end || *at != '"') return NULL;
    const char *behind = ws_pass_string(at + 1, end, escaped);
    if (!behind) return NULL;
    *name = (ws_text){at + 1, (uint32_t)(behind - at - 2)};
    behind = ws_space(behind, end);
    if (behind >= end || *behind != ':') return NULL;
    return ws_space(behind + 1, end);
}

/* The place of the next member or element, NULL behind the last: then *last is behind the list, or
 * NULL if it is none. */
static inline const char *ws_pass_comma(const char *at, const char *end, char close, const char **last) {
    *last = NULL;
    if (!at) return NULL;
    at = ws_space(at, end);
    if (at >= end) return NULL;
    if (*at == ',') return ws_space(at + 1, end);
    if (*at == close) *last = at + 1;
    return NULL;
}

/* As ws_pass_comma, behind the opening bracket. */
static inline const char *ws_pass_open(const char *at, const char *end, char close, const char **last) {
    at = ws_space(at, end);
    *last = at < end && *at == close ? at + 1 : NULL;
    return *last ? NULL : at;
}

__attribute__((noinline)) static const char *ws_pass_list(const char *at, const char *end, int depth) {
    if (depth >= WS_DEPTH_MAX) return NULL;
    const char *last;
    ws_text name;
    bool escaped;
    if (*at == '[') {
        at = ws_pass_open(at + 1, end, ']', &last);
        while (at) at = ws_pass_comma(ws_pass_value(at, end, depth + 1), end, ']', &last);
    } else {
        at = ws_pass_open(at + 1, end, '}', &last);
        while (at) {
            at = ws_pass_name(at, end, &name, &escaped);
            if (!at) return NULL;
            at = ws_pass_comma(ws_pass_value(at, end, depth + 1), end, '}', &last);
        }
    }
    return last;
}

/* Whether the bytes are UTF-8. */
static bool ws_utf8(const uint8_t *at, const uint8_t *end) {
    while (at < end) {
#ifdef __wasm_simd128__
        while (end - at >= 16 && !wasm_i8x16_bitmask(wasm_v128_load(at))) at += 16;
        if (at == end) break;
#endif
        uint8_t first = *at++;
        if (first < 0x80) continue;
        int more = first >= 0xc2 && first < 0xe0 ? 1 : (first & 0xf0) == 0xe0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
        if (!more || end - at < more) return false;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (*at < low || *at > high) return false;
        for (int i = 1; i < more; i++)
            if ((at[i] & 0xc0) != 0x80) return false;
        at += more;
    }
    return true;
}

/* Room for twice as many fields, which is a multiple of what ws_find looks at together. */
__attribute__((noinline)) static void ws_more_fields(ws_object *object) {
    uint32_t room = object->room ? object->room * 2 : 32;
    ws_field *fields = ws_scratch(room * sizeof(ws_field));
    uint32_t *tags = ws_scratch(room * sizeof(uint32_t));
    if (object->count) {
        memcpy(fields, object->fields, object->count * sizeof(ws_field));
        memcpy(tags, object->tags, object->count * sizeof(uint32_t));
    }
    object->fields = fields;
    object->tags = tags;
    object->room = room;
}

static inline ws_field *ws_field_add(ws_object *object, uint32_t tag) {
    if (object->count == object->room) ws_more_fields(object);
    object->tags[object->count] = tag;
    return &object->fields[object->count++];
}

static bool ws_parse(ws_text value, ws_object *object) {
    *object = (ws_object){.source = value};
    if (!value.ptr) return false;
    const char *end = value.ptr + value.len, *at = ws_space(value.ptr, end), *last = NULL;
    if (at >= end || *at != '{') return false;
    ws_met_wide = false;
    at = ws_pass_open(at + 1, end, '}', &last);
    while (at) {
        ws_text name;
        bool escaped;
        const char *start = ws_pass_name(at, end, &name, &escaped);
        const char *behind = start ? ws_pass_value(start, end, 1) : NULL;
        if (!behind || end - at < 5) return false;
        ws_field *field = ws_field_add(object, ws_u32(at + 1));
        field->name = name;
        field->value = (ws_text){start, (uint32_t)(behind - start)};
        field->escaped = escaped;
        field->touched = false;
        object->escaped |= escaped;
        at = ws_pass_comma(behind, end, '}', &last);
    }
    if (!last || ws_space(last, end) != end) return false;
    return !ws_met_wide || ws_utf8((const uint8_t *)value.ptr, (const uint8_t *)end);
}

/* ---- strings of JSON ------------------------------------------------------------------------ */

static char *ws_put_utf8(char *at, uint32_t c) {
    if (c < 0x80) {
        *at++ = (char)c;
    } else if (c < 0x800) {
        *at++ = (char)(0xc0 | c >> 6);
        *at++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *at++ = (char)(0xe0 | c >> 12);
        *at++ = (char)(0x80 | (c >> 6 & 63));
        *at++ = (char)(0x80 | (c & 63));
    } else {
        *at++ = (char)(0xf0 | c >> 18);
        *at++ = (char)(0x80 | (c >> 12 & 63));
        *at++ = (char)(0x80 | (c >> 6 & 63));
        *at++ = (char)(0x80 | (c & 63));
    }
    return at;
}

/* What stands between quotes as text; half a surrogate pair becomes U+FFFD. */
static ws_text ws_unescape(ws_text inner) {
    if (!inner.len || !memchr(inner.ptr, '\\', inner.len)) return inner;
    const char *from = inner.ptr, *end = from + inner.len;
    char *text = ws_scratch(inner.len), *to = text; /* escapes are longer than what they mean */
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        char c = from[1];
        from += 2;
        uint32_t unit, low;
        switch (c) {
        case 'b': *to++ = '\b'; break;
        case 'f': *to++ = '\f'; break;
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        case 't': *to++ = '\t'; break;
        case 'u':
            ws_hex4(from, end, &unit);
            from += 4;
            if (unit >= 0xd800 && unit < 0xdc00 && end - from >= 6 && from[0] == '\\' &&
                from[1] == 'u' && ws_hex4(from + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
                unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                from += 6;
            } else if (unit >= 0xd800 && unit < 0xe000) {
                unit = 0xfffd;
            }
            to = ws_put_utf8(to, unit);
            break;
        default: *to++ = c;
        }
    }
    return (ws_text){text, (uint32_t)(to - text)};
}

static bool ws_named(const ws_field *field, const char *name, uint32_t len) {
    ws_text own = field->escaped ? ws_unescape(field->name) : field->name;
    return field->value.ptr && own.len == len && ws_equal(own.ptr, name, len);
}

__attribute__((noinline)) static uint32_t ws_find_any(const ws_object *object, uint32_t from,
                                                      const char *name, uint32_t len) {
    while (from < object->count && !ws_named(&object->fields[from], name, len)) from++;
    return from;
}

/* The first four bytes of a name, its quote among them if it is shorter; `mask` is those bytes. */
static inline uint32_t ws_tag(const char *name, uint32_t len, uint32_t *mask) {
    *mask = UINT32_MAX;
    if (len >= 4) return ws_u32(name);
    *mask >>= 24 - 8 * len;
    uint32_t tag = (uint32_t)'"' << (8 * len);
    for (uint32_t i = 0; i < len; i++) tag |= (uint32_t)(uint8_t)name[i] << (8 * i);
    return tag;
}

/* A bit for each of eight tags that is this one where `mask` has ones. */
static inline uint32_t ws_same_tags(const uint32_t *tags, uint32_t tag, uint32_t mask) {
#ifdef __wasm_simd128__
    v128_t same[2], masks = wasm_i32x4_splat((int)mask), wanted = wasm_i32x4_splat((int)tag);
    for (int i = 0; i < 2; i++)
        same[i] = wasm_i32x4_eq(wasm_v128_and(wasm_v128_load(tags + 4 * i), masks), wanted);
    return (uint32_t)wasm_i32x4_bitmask(same[0]) | (uint32_t)wasm_i32x4_bitmask(same[1]) << 4;
#else
    uint32_t bits = 0;
    for (int i = 0; i < 8; i++) bits |= (uint32_t)((tags[i] & mask) == tag) << i;
    return bits;
#endif
}

/* The first field of a name from one on; their number if there is none. */
__attribute__((noinline)) static uint32_t ws_find(const ws_object *object, uint32_t from,
                                                  const char *name, uint32_t len) {
    if (object->escaped) return ws_find_any(object, from, name, len);
    uint32_t mask, tag = ws_tag(name, len, &mask), count = object->count, unseen = UINT32_MAX << (from & 7);
    for (uint32_t i = from & ~7u; i < count; i += 8, unseen = UINT32_MAX) {
        uint32_t same = ws_same_tags(object->tags + i, tag, mask) & unseen;
        for (; same; same &= same - 1) {
            uint32_t at = i + (uint32_t)__builtin_ctz(same);
            if (at >= count) return count;
            const ws_field *field = &object->fields[at];
            if (field->name.len == len && field->value.ptr && ws_equal(field->name.ptr, name, len)) return at;
        }
    }
    return count;
}

static ws_text ws_get(const ws_object *object, const char *name) {
    ws_text value = WS_NULL;
    uint32_t len = (uint32_t)strlen(name);
    for (uint32_t i = 0; (i = ws_find(object, i, name, len)) < object->count; i++)
        value = object->fields[i].value;
    return value;
}

static bool ws_remove(ws_object *object, const char *name) {
    uint32_t len = (uint32_t)strlen(name), i = 0;
    bool found = false;
    for (; (i = ws_find(object, i, name, len)) < object->count; i++) {
        object->fields[i].value = WS_NULL;
        object->tags[i] = 0;
        found = object->edited = true;
    }
    return found;
}

/* How many characters at the front of a text need no escape. */
static uint32_t ws_plain(ws_text text) {
    uint32_t i = 0;
    while (i < text.len && text.ptr[i] != '"' && text.ptr[i] != '\\' && (uint8_t)text.ptr[i] >= 0x20) i++;
    return i;
}

static ws_text ws_quote(ws_text text) {
    static const char hex[] = "0123456789abcdef";
    char *all = ws_scratch(2 + (size_t)text.len * 6), *to = all;
    *to++ = '"';
    uint32_t plain = ws_plain(text);
    to = ws_copy(to, text.ptr, plain);
    for (uint32_t i = plain; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\') {
            *to++ = '\\';
            *to++ = c;
        } else if ((uint8_t)c < 0x20) {
            const char *known = memchr("\bb\ff\nn\rr\tt", c, 10);
            *to++ = '\\';
            if (known) {
                *to++ = known[1];
            } else {
                memcpy(to, "u00", 3);
                to[3] = hex[(uint8_t)c >> 4];
                to[4] = hex[c & 15];
                to += 5;
            }
        } else {
            *to++ = c;
        }
    }
    *to++ = '"';
    return (ws_text){all, (uint32_t)(to - all)};
}

/* Gives a field a name, which is quoted. */
static inline void ws_call(ws_object *object, uint32_t at, ws_text name, ws_text quoted) {
    ws_field *field = &object->fields[at];
    uint32_t mask;
    field->name = (ws_text){quoted.ptr + 1, quoted.len - 2};
    field->escaped = field->name.len != name.len;
    field->touched = true;
    object->escaped |= field->escaped;
    object->tags[at] = ws_tag(name.ptr, name.len, &mask);
    object->grown += quoted.len + 2;
}

static bool ws_rename(ws_object *object, const char *from, const char *to) {
    ws_text old = ws_cstr(from), new = ws_cstr(to);
    uint32_t i = ws_find(object, 0, old.ptr, old.len);
    if (i == object->count) return false;
    if (ws_same(old, new)) return true;
    ws_remove(object, to);
    ws_text quoted = ws_quote(new);
    for (; i < object->count; i = ws_find(object, i + 1, old.ptr, old.len)) ws_call(object, i, new, quoted);
    return object->edited = true;
}

static void ws_set(ws_object *object, const char *name, ws_text raw) {
    ws_text wanted = ws_cstr(name);
    bool found = false;
    object->edited = true;
    for (uint32_t i = 0; (i = ws_find(object, i, wanted.ptr, wanted.len)) < object->count; i++) {
        object->fields[i].value = raw;
        object->fields[i].touched = found = true;
        object->grown += raw.len;
    }
    if (found) return;
    ws_field_add(object, 0)->value = raw;
    ws_call(object, object->count - 1, wanted, ws_quote(wanted));
    object->grown += raw.len;
}

static ws_text ws_write(const ws_object *object) {
    if (!object->edited) return object->source;
    char *all = ws_scratch((size_t)object->source.len + object->grown), *at = all;
    *at++ = '{';
    for (uint32_t i = 0; i < object->count; i++) {
        const ws_field *field = &object->fields[i];
        if (!field->value.ptr) continue;
        if (at > all + 1) *at++ = ',';
        const char *from = field->name.ptr - 1;
        if (field->touched) {
            *at++ = '"';
            at = ws_copy(at, field->name.ptr, field->name.len);
            *at++ = '"';
            *at++ = ':';
            from = field->value.ptr;
        } else {
            /* A run of fields that nobody touched is one copy. */
            while (i + 1 < object->count && field[1].value.ptr && !field[1].touched) field++, i++;
        }
        at = ws_copy(at, from, (size_t)(field->value.ptr + field->value.len - from));
    }
    *at++ = '}';
    return (ws_text){all, (uint32_t)(at - all)};
}

/* ---- values --------------------------------------------------------------------------------- */

static ws_text ws_string(ws_text raw) {
    if (raw.len < 2 || *raw.ptr != '"') return WS_NULL;
    return ws_unescape((ws_text){raw.ptr + 1, raw.len - 2});
}

static bool ws_is(ws_text raw, const char *string) { return ws_same(ws_string(raw), ws_cstr(string)); }

static ws_text ws_integer(int64_t number) {
    char *end = (char *)ws_scratch(24) + 24, *at = end;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) *--at = '-';
    return (ws_text){at, (uint32_t)(end - at)};
}

static bool ws_number(ws_text raw, double *number) {
    const char *end = raw.ptr + raw.len;
    if (!raw.len || ws_odd_number(raw.ptr, end) != end) return false;
    char *text = ws_scratch(raw.len + 1);
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = 0;
    *number = strtod(text, NULL);
    return true;
}

static bool ws_whole(ws_text raw, int64_t *number) {
    bool negative = raw.len && *raw.ptr == '-';
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, sum = 0;
    uint32_t digits = raw.len - negative;
    const char *at = raw.ptr + negative;
    if (!digits || (*at == '0' && digits > 1)) return false;
    for (uint32_t i = 0; i < digits; i++) {
        uint64_t digit = (uint8_t)(at[i] - '0');
        if (digit > 9 || sum > (most - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *number = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static bool ws_element(ws_text array, uint32_t *at, ws_text *element) {
    if (array.len < 2 || *array.ptr != '[') return false;
    const char *end = array.ptr + array.len, *start = ws_space(array.ptr + (*at ? *at : 1), end);
    if (start < end && *at && *start == ',') start = ws_space(start + 1, end);
    if (start >= end || *start == ']') return false;
    const char *behind = ws_pass_value(start, end, 1);
    if (!behind) return false;
    *element = (ws_text){start, (uint32_t)(behind - start)};
    *at = (uint32_t)(behind - array.ptr);
    return true;
}

#endif
