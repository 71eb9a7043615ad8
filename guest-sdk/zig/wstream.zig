//! The wstream SDK for Zig: a transform is one function that gets each record and says what becomes
//! of it.
//!
//!     const ws = @import("wstream.zig");
//!
//!     comptime {
//!         ws.register(@This());
//!     }
//!
//!     pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
//!         var event = try ws.Object.parse(record.value);
//!         if (event.get("level").is("debug")) return; // no output: dropped
//!         event.rename("msg", "message");
//!         var output = ws.Output.of(record);
//!         output.value = event.write();
//!         out.send(output);
//!     }
//!
//! Compile it with
//!
//!     zig build-exe transform.zig -target wasm32-freestanding -O ReleaseFast -mcpu=generic+simd128+bulk_memory
//!         -fno-entry -rdynamic -fstrip
//!
//! An error that is returned fails the record with its name as the message; `out.fail(code, text)`
//! chooses both. What a record or the JSON functions give is valid until the transform returns.
//! When memory runs out the call traps, and the host names the cause. State in memory is lost with
//! an instance that trapped: keep in it what makes the work faster, not what results depend on, which
//! is for `state`.
//!
//! A `pub fn setup(config: *Object) !void` is called once with the configuration. It speaks
//! wstream_v1, see ABI.md.

const std = @import("std");

/// Bytes that are not there are null, which differs from empty.
pub const Bytes = ?[]const u8;

pub const Header = struct { name: []const u8, value: Bytes };

pub const Record = struct {
    topic: []const u8,
    partition: i32,
    offset: i64,
    /// Milliseconds since 1970, -1 if unknown.
    timestamp_ms: i64,
    key: Bytes,
    value: Bytes,
    header_count: u32,
    /// As they came; read them with `headers`.
    header_bytes: []const u8,

    pub fn headers(record: *const Record) HeaderIterator {
        return .{ .rest = record.header_bytes };
    }
};

pub const HeaderIterator = struct {
    rest: []const u8,

    pub fn next(self: *HeaderIterator) ?Header {
        if (self.rest.len == 0) return null;
        const name = take(&self.rest) orelse "";
        return .{ .name = name, .value = take(&self.rest) };
    }
};

/// Lets Kafka's hash of the key choose the partition.
pub const by_key: i32 = -1;
/// Gives an output the record's time.
pub const inherit: i64 = std.math.minInt(i64);

pub const Output = struct {
    /// 0 the default, others as transform.toml names them.
    number: u16 = 0,
    partition: i32 = by_key,
    timestamp_ms: i64 = inherit,
    key: Bytes = null,
    value: Bytes = null,
    /// Whose headers to copy.
    headers_of: ?*const Record = null,
    /// More headers.
    headers: []const Header = &.{},

    /// The record's key, value, headers and time.
    pub fn of(record: *const Record) Output {
        return .{ .key = record.key, .value = record.value, .headers_of = record };
    }
};

pub const Outputs = struct {
    frame: Buffer = .{},
    index: u32 = 0,
    start: usize = 0,
    failed: bool = false,

    pub fn send(self: *Outputs, output: Output) void {
        if (self.failed) return;
        var len: usize = 31 + size(output.key) + size(output.value);
        var header_count: u32 = @intCast(output.headers.len);
        if (output.headers_of) |record| {
            len += record.header_bytes.len;
            header_count += record.header_count;
        }
        for (output.headers) |header| len += 8 + header.name.len + size(header.value);
        var at = self.frame.more(len);
        put(&at, u32, self.index);
        put(&at, u8, 0);
        put(&at, u16, output.number);
        put(&at, i32, output.partition);
        put(&at, i64, output.timestamp_ms);
        putBytes(&at, output.key);
        putBytes(&at, output.value);
        put(&at, u32, header_count);
        if (output.headers_of) |record| copy(&at, record.header_bytes);
        for (output.headers) |header| {
            putBytes(&at, header.name);
            putBytes(&at, header.value);
        }
    }

    /// The record failed: its outputs so far are taken back. Codes are 0 to 999.
    pub fn fail(self: *Outputs, code: u16, message: []const u8) void {
        if (self.failed) return;
        self.failed = true;
        self.frame.len = self.start;
        var at = self.frame.more(11 + message.len);
        put(&at, u32, self.index);
        put(&at, u8, 1);
        put(&at, u16, code);
        putBytes(&at, message);
    }
};

pub const Level = enum(i32) { trace, debug, info, warn, err };

/// Writes a line to the module's log; the host cuts it at 4 KiB and limits lines per second.
pub fn log(level: Level, line: []const u8) void {
    host.log(@intFromEnum(level), line.ptr, line.len);
}

/// Adds to a counter.
pub fn count(name: []const u8, by: f64) void {
    host.metric(0, name.ptr, name.len, by);
}

/// Sets a gauge.
pub fn gauge(name: []const u8, value: f64) void {
    host.metric(1, name.ptr, name.len, value);
}

/// Adds a value to a histogram.
pub fn observe(name: []const u8, value: f64) void {
    host.metric(2, name.ptr, name.len, value);
}

/// Milliseconds since 1970.
pub fn nowMs() i64 {
    return host.now_ms();
}

/// Keyed state of the pipeline's step and partition that the instance works for: what a record that
/// succeeds writes is there for every later record, after a restart and on another node too. A record
/// sees what it and the records before it wrote; what a record wrote that fails is discarded. Only a
/// module that uses it imports the host's table.
pub const state = struct {
    /// The limits that keep an entry from being set; `message` says what they are.
    pub const Limit = error{
        StateKeyNot1To4096Bytes,
        StateValueAbove1MiB,
        StateEntriesAtMost,
        StateBytesAtMost,
        StateWritesOfCallAbove64MiB,
    };

    /// What a value is asked for with first; a longer one is asked for again.
    const value_bytes_usual = 256;
    /// What a page of a scan holds; an entry that is larger has its page to itself.
    const page_bytes = 16384;
    const key_bytes_max = 4096;

    /// The value of a key, until the transform returns; null if there is none, or if it has expired.
    pub fn get(key: []const u8) Bytes {
        var room: usize = value_bytes_usual;
        while (true) {
            const buffer = scratch(room);
            const answer = table.get(key.ptr, key.len, buffer.ptr, room);
            if (answer < 0) return null;
            const len: usize = @intCast(answer);
            if (len <= room) return buffer[0..len];
            room = len;
        }
    }

    /// Sets a key, for good.
    pub fn put(key: []const u8, value: []const u8) Limit!void {
        return set(key, value, 0);
    }

    /// Sets a key for so many milliseconds, at least one.
    pub fn putFor(key: []const u8, value: []const u8, ttl_ms: i64) Limit!void {
        // Zero would be for good.
        return set(key, value, @max(ttl_ms, 1));
    }

    /// Removes a key; false if there was none.
    pub fn delete(key: []const u8) bool {
        return table.delete(key.ptr, key.len) != 0;
    }

    /// The entries whose key begins with a prefix, in the order of the keys; all with an empty one.
    /// They are read page by page: a page shows the table as it is when it is read.
    pub fn scan(prefix: []const u8) Scan {
        return .{ .prefix = prefix };
    }

    /// A limit in words: `return out.fail(3, ws.state.message(limit));`
    pub fn message(limit: Limit) []const u8 {
        return switch (limit) {
            error.StateKeyNot1To4096Bytes => "a key has 1 to 4096 bytes",
            error.StateValueAbove1MiB => "a value has at most 1048576 bytes",
            error.StateEntriesAtMost => "the state has as many entries as it may have",
            error.StateBytesAtMost => "the state has as many bytes as it may have",
            error.StateWritesOfCallAbove64MiB => "one call may write at most 67108864 bytes of state",
        };
    }

    /// Valid until the next one is asked for.
    pub const Entry = struct { key: []const u8, value: []const u8 };

    pub const Scan = struct {
        prefix: []const u8,
        last_key: []const u8 = "",
        page: []u8 = &.{},
        rest: []const u8 = "",

        /// The next entry; null at the end.
        pub fn next(self: *Scan) ?Entry {
            if (self.rest.len == 0) self.turn();
            if (self.rest.len == 0) return null;
            const key = self.part();
            self.last_key = key;
            return .{ .key = key, .value = self.part() };
        }

        fn turn(self: *Scan) void {
            // Out of the page, which is written again.
            var buffer: [key_bytes_max]u8 = undefined;
            const after = buffer[0..self.last_key.len];
            @memcpy(after, self.last_key);
            if (self.page.len == 0) self.page = scratch(page_bytes);
            while (true) {
                const prefix = self.prefix;
                const page = self.page;
                const answer = table.scan(prefix.ptr, prefix.len, after.ptr, after.len, page.ptr, page.len);
                if (answer >= 0) {
                    self.rest = page[0..@intCast(answer)];
                    return;
                }
                // What the next entry needs.
                self.page = scratch(@intCast(-answer));
            }
        }

        /// A length and its bytes; the host wrote them, so they are in the page.
        fn part(self: *Scan) []const u8 {
            const len = lengthOf(&self.rest);
            const bytes = self.rest[0..len];
            self.rest = self.rest[len..];
            return bytes;
        }
    };

    fn lengthOf(at: *[]const u8) usize {
        const len = std.mem.readInt(u32, at.*[0..4], .little);
        at.* = at.*[4..];
        return len;
    }

    fn set(key: []const u8, value: []const u8, ttl_ms: i64) Limit!void {
        return switch (table.put(key.ptr, key.len, value.ptr, value.len, ttl_ms)) {
            0 => {},
            -1 => error.StateKeyNot1To4096Bytes,
            -2 => error.StateValueAbove1MiB,
            -3 => error.StateEntriesAtMost,
            -4 => error.StateBytesAtMost,
            else => error.StateWritesOfCallAbove64MiB,
        };
    }

    const table = struct {
        extern "wstream_kv_v1" fn get(key: [*]const u8, key_len: usize, at: [*]u8, room: usize) i64;
        extern "wstream_kv_v1" fn put(key: [*]const u8, key_len: usize, value: [*]const u8, len: usize, ttl_ms: i64) i32;
        extern "wstream_kv_v1" fn delete(key: [*]const u8, key_len: usize) i32;
        extern "wstream_kv_v1" fn scan(prefix: [*]const u8, prefix_len: usize, after: [*]const u8, after_len: usize, at: [*]u8, room: usize) i64;
    };
};

/// Refuses the configuration: `return ws.refuse(1, "field is missing");`
pub fn refuse(code: i32, message: []const u8) error{Refused} {
    host.fail(code, message.ptr, message.len);
    return error.Refused;
}

/// Memory until the transform returns.
pub fn scratch(len: usize) []u8 {
    return arena.take(len);
}

/// Texts put together, until the transform returns.
pub fn join(parts: []const []const u8) []const u8 {
    var len: usize = 0;
    for (parts) |part| len += part.len;
    const all = scratch(len);
    var at: []u8 = all;
    for (parts) |part| copy(&at, part);
    return all;
}

const host = struct {
    extern "wstream_v1" fn log(level: i32, ptr: [*]const u8, len: usize) void;
    extern "wstream_v1" fn metric(kind: i32, ptr: [*]const u8, len: usize, value: f64) void;
    extern "wstream_v1" fn fail(code: i32, ptr: [*]const u8, len: usize) void;
    extern "wstream_v1" fn now_ms() i64;
};

// ---- memory ------------------------------------------------------------------------------------

const allocator = std.heap.wasm_allocator;

/// Bytes that grow, reused from call to call.
const Buffer = struct {
    bytes: []u8 = &.{},
    len: usize = 0,

    fn more(self: *Buffer, len: usize) []u8 {
        const start = self.len;
        const need = start + len;
        if (need > self.bytes.len) self.grow(need);
        self.len = need;
        return self.bytes[start..need];
    }

    fn grow(self: *Buffer, need: usize) void {
        const bytes = allocator.alloc(u8, @max(need * 2, 4096)) catch
            allocator.alloc(u8, need) catch @trap();
        @memcpy(bytes[0..self.len], self.bytes[0..self.len]);
        allocator.free(self.bytes);
        self.bytes = bytes;
    }
};

/// Memory of one record: blocks that are full are freed behind it, the last is kept.
const Arena = struct {
    block: []u8 = &.{},
    used: usize = 0,
    full: [32][]u8 = undefined,
    full_count: usize = 0,

    fn take(self: *Arena, len: usize) []u8 {
        if (self.block.len - self.used < len) self.next(len);
        const start = self.used;
        // Whoever asks next may want it aligned.
        self.used = @min(self.block.len, (start + len + 7) & ~@as(usize, 7));
        return self.block[start..][0..len];
    }

    fn next(self: *Arena, len: usize) void {
        if (self.block.len > 0) {
            // Each block is twice the one before, so there are never so many.
            self.full[self.full_count] = self.block;
            self.full_count += 1;
        }
        self.block = allocator.alloc(u8, @max(len, @max(self.block.len * 2, 16384))) catch @trap();
        self.used = 0;
    }

    fn reset(self: *Arena) void {
        self.used = 0;
        for (self.full[0..self.full_count]) |block| allocator.free(block);
        self.full_count = 0;
    }
};

var arena: Arena = .{};
var input: Buffer = .{};
var outputs: Outputs = .{};
var cursor: u32 = 0;

// ---- frames ------------------------------------------------------------------------------------

fn size(bytes: Bytes) usize {
    return if (bytes) |b| b.len else 0;
}

fn copy(at: *[]u8, bytes: []const u8) void {
    if (bytes.len > copy_max) {
        @memcpy(at.*[0..bytes.len], bytes);
    } else if (bytes.len > 0) copyShort(at.ptr, bytes.ptr, bytes.len);
    at.* = at.*[bytes.len..];
}

/// Copies of unknown length are calls out of the module, which take as long as some hundred bytes:
/// up to this length they are made here.
const copy_max = 256;

noinline fn copyShort(to: [*]u8, from: [*]const u8, len: usize) void {
    if (len >= 64) {
        var i: usize = 0;
        while (i + 64 < len) : (i += 64) to[i..][0..64].* = from[i..][0..64].*;
        to[len - 64 ..][0..64].* = from[len - 64 ..][0..64].*;
    } else if (len >= 32) {
        overlapping(32, to, from, len);
    } else if (len >= 16) {
        overlapping(16, to, from, len);
    } else if (len >= 8) {
        overlapping(8, to, from, len);
    } else if (len >= 4) {
        overlapping(4, to, from, len);
    } else {
        for (0..len) |i| to[i] = from[i];
    }
}

/// Copies n to 2 n bytes.
inline fn overlapping(comptime n: usize, to: [*]u8, from: [*]const u8, len: usize) void {
    to[0..n].* = from[0..n].*;
    to[len - n ..][0..n].* = from[len - n ..][0..n].*;
}

/// Whether two texts of one length are the same.
fn same(a: [*]const u8, b: [*]const u8, len: usize) bool {
    if (len >= 8) {
        var i: usize = 0;
        while (i + 8 < len) : (i += 8) if (word(a + i) != word(b + i)) return false;
        return word(a + len - 8) == word(b + len - 8);
    }
    for (0..len) |i| if (a[i] != b[i]) return false;
    return true;
}

fn word(at: [*]const u8) u64 {
    return std.mem.readInt(u64, at[0..8], .little);
}

fn put(at: *[]u8, comptime T: type, value: T) void {
    std.mem.writeInt(T, at.*[0..@sizeOf(T)], value, .little);
    at.* = at.*[@sizeOf(T)..];
}

fn putBytes(at: *[]u8, bytes: Bytes) void {
    const b = bytes orelse return put(at, i32, -1);
    put(at, i32, @intCast(b.len));
    copy(at, b);
}

fn get(at: *[]const u8, comptime T: type) T {
    const value = std.mem.readInt(T, at.*[0..@sizeOf(T)], .little);
    at.* = at.*[@sizeOf(T)..];
    return value;
}

/// A length and its bytes; the host wrote them, so they are in the frame.
fn take(at: *[]const u8) Bytes {
    const len = get(at, i32);
    if (len < 0) return null;
    const bytes = at.*[0..@intCast(len)];
    at.* = at.*[bytes.len..];
    return bytes;
}

/// Exports what the host calls, for a file with a `transform`.
pub fn register(comptime user: type) void {
    const exports = struct {
        fn wstream_abi_v1() callconv(.c) void {}

        fn wstream_cursor() callconv(.c) *u32 {
            return &cursor;
        }

        fn wstream_alloc(len: usize) callconv(.c) ?[*]u8 {
            if (len > input.bytes.len) {
                allocator.free(input.bytes);
                input.bytes = &.{};
                input.bytes = allocator.alloc(u8, len) catch return null;
            }
            return input.bytes.ptr;
        }

        fn wstream_init(ptr: [*]const u8, len: usize) callconv(.c) i32 {
            defer arena.reset();
            if (!@hasDecl(user, "setup")) return 0;
            var config = Object.parse(ptr[0..len]) catch {
                refuse(1, "the configuration is not an object") catch {};
                return -1;
            };
            user.setup(&config) catch |err| {
                if (err != error.Refused) refuse(0, @errorName(err)) catch {};
                return -1;
            };
            return 0;
        }

        fn wstream_process(ptr: [*]const u8, len: usize) callconv(.c) u64 {
            var at: []const u8 = ptr[0..len];
            var record: Record = undefined;
            const topic_len = get(&at, u16);
            record.topic = at[0..topic_len];
            at = at[topic_len..];
            record.partition = get(&at, i32);
            const records = get(&at, u32);
            outputs.frame.len = 0;
            for (0..records) |i| {
                @as(*volatile u32, &cursor).* = @intCast(i);
                outputs.index = @intCast(i);
                outputs.start = outputs.frame.len;
                outputs.failed = false;
                record.offset = get(&at, i64);
                record.timestamp_ms = get(&at, i64);
                record.key = take(&at);
                record.value = take(&at);
                record.header_count = get(&at, u32);
                const start = at;
                for (0..record.header_count) |_| {
                    _ = take(&at);
                    _ = take(&at);
                }
                record.header_bytes = start[0 .. start.len - at.len];
                user.transform(&record, &outputs) catch |err| outputs.fail(0, @errorName(err));
                arena.reset();
            }
            return @as(u64, @intFromPtr(outputs.frame.bytes.ptr)) << 32 | outputs.frame.len;
        }
    };
    @export(&exports.wstream_abi_v1, .{ .name = "wstream_abi_v1" });
    @export(&exports.wstream_cursor, .{ .name = "wstream_cursor" });
    @export(&exports.wstream_alloc, .{ .name = "wstream_alloc" });
    @export(&exports.wstream_init, .{ .name = "wstream_init" });
    @export(&exports.wstream_process, .{ .name = "wstream_process" });
}

// ---- JSON --------------------------------------------------------------------------------------

pub const NotAnObject = error{NotAnObject};

/// A value as it stands in its text: `"text"` with its quotes, `1.50`, `[1]`; or none.
pub const Raw = struct {
    bytes: Bytes,

    /// Whether the value is this string.
    pub fn is(raw: Raw, text: []const u8) bool {
        const own = raw.string() orelse return false;
        return own.len == text.len and same(own.ptr, text.ptr, text.len);
    }

    /// The text of a string, null if it is none.
    pub fn string(raw: Raw) Bytes {
        const bytes = raw.bytes orelse return null;
        if (bytes.len < 2 or bytes[0] != '"') return null;
        return unescape(bytes[1 .. bytes.len - 1]);
    }

    /// The value of a number, null if it is none.
    pub fn number(raw: Raw) ?f64 {
        const bytes = raw.bytes orelse return null;
        const end = bytes.ptr + bytes.len;
        if (json.oddNumber(bytes.ptr, end) != end) return null;
        return std.fmt.parseFloat(f64, bytes) catch null;
    }

    /// The elements of an array; null if it is none.
    pub fn elements(raw: Raw) ?Elements {
        const bytes = raw.bytes orelse return null;
        if (bytes.len < 2 or bytes[0] != '[') return null;
        const end = bytes.ptr + bytes.len;
        const next = json.open(bytes.ptr + 1, end, ']');
        return .{ .at = next.at, .end = end };
    }
};

pub const Elements = struct {
    /// The next element; null behind the last.
    at: json.Place,
    end: [*]const u8,

    pub fn next(self: *Elements) ?Raw {
        const start = self.at orelse return null;
        const behind = json.value(start, self.end, 1) orelse return null;
        self.at = json.comma(behind, self.end, ']').at;
        return .{ .bytes = start[0 .. behind - start] };
    }
};

const Field = struct {
    /// Without quotes, with its escapes.
    name: []const u8,
    /// null: removed.
    value: Bytes,
    escaped: bool = false,
    /// It does not stand in the source as it is.
    touched: bool = false,

    fn is(field: *const Field, name: []const u8) bool {
        if (field.value == null) return false;
        const own = if (field.escaped) unescape(field.name) else field.name;
        return own.len == name.len and same(own.ptr, name.ptr, name.len);
    }
};

/// The first four bytes of a name, its quote among them if it is shorter; `mask` is those bytes.
const Tag = struct {
    bytes: u32,
    mask: u32 = 0xffffffff,

    fn of(name: []const u8) Tag {
        if (name.len >= 4) return .{ .bytes = json.four(name.ptr) };
        const shift: u5 = @intCast(8 * name.len);
        var bytes = @as(u32, '"') << shift;
        for (name, 0..) |c, i| bytes |= @as(u32, c) << @intCast(8 * i);
        return .{ .bytes = bytes, .mask = @as(u32, 0xffffffff) >> (24 - shift) };
    }

    /// A bit for each of eight tags that is this one.
    fn among(tag: Tag, tags: *const [8]u32) u8 {
        const V = @Vector(8, u32);
        const masked = @as(V, tags.*) & @as(V, @splat(tag.mask));
        return @bitCast(masked == @as(V, @splat(tag.bytes)));
    }
};

/// An object whose fields are looked up and edited where they stand: what is not touched is copied
/// as it is, numbers keep their text. Of fields with one name the last counts; an edit changes all.
pub const Object = struct {
    source: []const u8,
    room: []Field = &.{},
    /// Of the names, to look for them: as many as `room`.
    tags: [*]u32 = undefined,
    len: usize = 0,
    /// What edits may add at most.
    grown: usize = 0,
    edited: bool = false,
    /// A name has escapes.
    escaped: bool = false,

    pub fn parse(value: Bytes) NotAnObject!Object {
        const text = value orelse return error.NotAnObject;
        var object: Object = .{ .source = text };
        return if (object.read(text.ptr, text.ptr + text.len)) object else error.NotAnObject;
    }

    fn read(object: *Object, start: [*]const u8, end: [*]const u8) bool {
        json.met_wide = false;
        const brace = json.space(start, end);
        if (json.byte(brace, end) != '{') return false;
        var next = json.open(brace + 1, end, '}');
        while (next.at) |at| {
            if (json.left(at, end) < 5 or at[0] != '"') return false;
            var escaped = false;
            const name_end = json.string(at + 1, end, &escaped) orelse return false;
            const begin = json.colon(name_end, end) orelse return false;
            const behind = json.value(begin, end, 1) orelse return false;
            const field = object.add(json.four(at + 1));
            field.name = (at + 1)[0 .. name_end - at - 2];
            field.value = begin[0 .. behind - begin];
            field.escaped = escaped;
            field.touched = false;
            if (escaped) object.escaped = true;
            next = json.comma(behind, end, '}');
        }
        const last = next.last orelse return false;
        if (json.space(last, end) != end) return false;
        return !json.met_wide or std.unicode.utf8ValidateSlice(start[0 .. end - start]);
    }

    fn add(object: *Object, tag: u32) *Field {
        if (object.len == object.room.len) object.grow();
        object.tags[object.len] = tag;
        object.len += 1;
        return &object.room[object.len - 1];
    }

    /// Room for twice as many, a multiple of the tags that are looked at together.
    noinline fn grow(object: *Object) void {
        const room = @max(32, object.room.len * 2);
        const fields = some(Field, room);
        const tags = some(u32, room);
        @memcpy(fields[0..object.len], object.room[0..object.len]);
        @memcpy(tags[0..object.len], object.tags[0..object.len]);
        object.room = fields;
        object.tags = tags.ptr;
    }

    fn some(comptime T: type, number: usize) []T {
        const bytes = scratch(number * @sizeOf(T) + @alignOf(T));
        const aligned = std.mem.alignForward(usize, @intFromPtr(bytes.ptr), @alignOf(T));
        return @as([*]T, @ptrFromInt(aligned))[0..number];
    }

    /// The first field of a name from one on; their number if there is none.
    noinline fn find(object: *const Object, from: usize, name: [*]const u8, name_len: usize) usize {
        const wanted = name[0..name_len];
        if (object.escaped) {
            for (object.room[from..object.len], from..) |*field, i| if (field.is(wanted)) return i;
            return object.len;
        }
        const tag: Tag = .of(wanted);
        var i = from & ~@as(usize, 7);
        var unseen = @as(u8, 0xff) << @intCast(from & 7);
        while (i < object.len) : (i += 8) {
            var found = tag.among(object.tags[i..][0..8]) & unseen;
            while (found != 0) : (found &= found - 1) {
                const at = i + @ctz(found);
                if (at >= object.len) return object.len;
                const field = &object.room[at];
                if (field.name.len == name_len and field.value != null and same(field.name.ptr, name, name_len))
                    return at;
            }
            unseen = 0xff;
        }
        return object.len;
    }

    /// Gives a field a name, which is quoted.
    fn call(object: *Object, at: usize, name: []const u8, quoted: []const u8) void {
        const field = &object.room[at];
        field.name = quoted[1 .. quoted.len - 1];
        field.escaped = field.name.len != name.len;
        field.touched = true;
        if (field.escaped) object.escaped = true;
        object.tags[at] = Tag.of(name).bytes;
        object.grown += quoted.len + 2;
    }

    /// The value of a field.
    pub fn get(object: *const Object, name: []const u8) Raw {
        var value: Bytes = null;
        var i = object.find(0, name.ptr, name.len);
        while (i < object.len) : (i = object.find(i + 1, name.ptr, name.len)) value = object.room[i].value;
        return .{ .bytes = value };
    }

    /// Removes a field, if there is one.
    pub fn remove(object: *Object, name: []const u8) void {
        var i = object.find(0, name.ptr, name.len);
        while (i < object.len) : (i = object.find(i + 1, name.ptr, name.len)) {
            object.room[i].value = null;
            object.tags[i] = 0;
            object.edited = true;
        }
    }

    /// Gives a field another name in its place, if there is one; a field that had that name is
    /// removed.
    pub fn rename(object: *Object, from: []const u8, to: []const u8) void {
        var i = object.find(0, from.ptr, from.len);
        if (i == object.len or std.mem.eql(u8, from, to)) return;
        object.remove(to);
        const quoted = quote(to);
        while (i < object.len) : (i = object.find(i + 1, from.ptr, from.len)) object.call(i, to, quoted);
        object.edited = true;
    }

    /// Sets a field to a value that is JSON already, in its place or behind the last field.
    pub fn set(object: *Object, name: []const u8, raw: []const u8) void {
        object.edited = true;
        object.grown += raw.len;
        var i = object.find(0, name.ptr, name.len);
        if (i == object.len) {
            object.add(0).value = raw;
            return object.call(i, name, quote(name));
        }
        while (i < object.len) : (i = object.find(i + 1, name.ptr, name.len)) {
            object.room[i].value = raw;
            object.room[i].touched = true;
            object.grown += raw.len;
        }
    }

    /// Sets a field to a string.
    pub fn setString(object: *Object, name: []const u8, text: []const u8) void {
        object.set(name, quote(text));
    }

    /// The object as it is now.
    pub fn write(object: *const Object) []const u8 {
        if (!object.edited) return object.source;
        const fields = object.room[0..object.len];
        const all = scratch(object.source.len + object.grown);
        var at: []u8 = all;
        put(&at, u8, '{');
        var i: usize = 0;
        while (i < fields.len) : (i += 1) {
            var value = fields[i].value orelse continue;
            if (at.len + 1 < all.len) put(&at, u8, ',');
            if (fields[i].touched) {
                put(&at, u8, '"');
                copy(&at, fields[i].name);
                put(&at, u8, '"');
                put(&at, u8, ':');
                copy(&at, value);
                continue;
            }
            // A run of fields that nobody touched is one copy.
            const start = @intFromPtr(fields[i].name.ptr) - 1 - @intFromPtr(object.source.ptr);
            while (i + 1 < fields.len and !fields[i + 1].touched) : (i += 1) {
                value = fields[i + 1].value orelse break;
            }
            const end = @intFromPtr(value.ptr) + value.len - @intFromPtr(object.source.ptr);
            copy(&at, object.source[start..end]);
        }
        put(&at, u8, '}');
        return all[0 .. all.len - at.len];
    }
};

/// A text as a string of JSON.
pub fn quote(text: []const u8) []const u8 {
    const hex = "0123456789abcdef";
    const all = scratch(2 + text.len * 6);
    var at: []u8 = all;
    put(&at, u8, '"');
    const front = for (text, 0..) |c, i| {
        if (c == '"' or c == '\\' or c < ' ') break i;
    } else text.len;
    copy(&at, text[0..front]);
    for (text[front..]) |c| switch (c) {
        '"' => copy(&at, "\\\""),
        '\\' => copy(&at, "\\\\"),
        '\n' => copy(&at, "\\n"),
        '\r' => copy(&at, "\\r"),
        '\t' => copy(&at, "\\t"),
        0...8, 11, 12, 14...31 => {
            copy(&at, "\\u00");
            put(&at, u8, hex[c >> 4]);
            put(&at, u8, hex[c & 15]);
        },
        else => put(&at, u8, c),
    };
    put(&at, u8, '"');
    return all[0 .. all.len - at.len];
}

/// What stands between quotes as text; half a surrogate pair becomes U+FFFD.
fn unescape(inner: []const u8) []const u8 {
    const first = std.mem.findScalar(u8, inner, '\\') orelse return inner;
    const all = scratch(inner.len);
    var at: []u8 = all;
    copy(&at, inner[0..first]);
    var i = first;
    while (i < inner.len) : (i += 1) {
        if (inner[i] != '\\') {
            put(&at, u8, inner[i]);
            continue;
        }
        i += 1;
        switch (inner[i]) {
            'b' => put(&at, u8, 8),
            'f' => put(&at, u8, 12),
            'n' => put(&at, u8, '\n'),
            'r' => put(&at, u8, '\r'),
            't' => put(&at, u8, '\t'),
            'u' => {
                var c: u21 = hex4(inner[i + 1 ..]).?;
                i += 4;
                if (c >= 0xd800 and c < 0xe000) {
                    const rest = inner[i + 1 ..];
                    const is_pair = c < 0xdc00 and rest.len >= 6 and std.mem.startsWith(u8, rest, "\\u");
                    const low: u21 = if (is_pair) hex4(rest[2..]) orelse 0 else 0;
                    if (low >= 0xdc00 and low < 0xe000) {
                        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                        i += 6;
                    } else c = 0xfffd;
                }
                var utf8: [4]u8 = undefined;
                const len = std.unicode.utf8Encode(c, &utf8) catch unreachable;
                copy(&at, utf8[0..len]);
            },
            else => |c| put(&at, u8, c),
        }
    }
    return all[0 .. all.len - at.len];
}

fn hex4(text: []const u8) ?u16 {
    if (text.len < 4) return null;
    var unit: u16 = 0;
    for (text[0..4]) |c| {
        const digit: u16 = switch (c) {
            '0'...'9' => c - '0',
            'a'...'f' => c - 'a' + 10,
            'A'...'F' => c - 'A' + 10,
            else => return null,
        };
        unit = unit << 4 | digit;
    }
    return unit;
}

/// Reads JSON: what passes a part of a text returns the place behind it, or null if it is none.
const json = struct {
    const P = [*]const u8;
    const Place = ?P;
    const V = @Vector(16, u8);
    const depth_max = 128;

    /// Of the last odd string whether it has escapes, and whether any may have had bytes above 127.
    var met_escapes = false;
    var met_wide = false;

    inline fn left(at: P, end: P) usize {
        return end - at;
    }

    inline fn byte(at: P, end: P) u8 {
        return if (@intFromPtr(at) < @intFromPtr(end)) at[0] else 0;
    }

    inline fn four(at: P) u32 {
        return std.mem.readInt(u32, at[0..4], .little);
    }

    inline fn space(start: P, end: P) P {
        return if (byte(start, end) > ' ') start else moreSpace(start, end);
    }

    fn moreSpace(start: P, end: P) P {
        var at = start;
        while (true) : (at += 1) switch (byte(at, end)) {
            ' ', '\n', '\r', '\t' => {},
            else => return at,
        };
    }

    /// A bit for each of 16 bytes at which plain text in a string ends: quotes, backslashes, control
    /// characters and bytes above 127, which as signed numbers are both below a space.
    inline fn stops(at: P) u32 {
        const bytes: V = at[0..16].*;
        const signed: @Vector(16, i8) = @bitCast(bytes);
        const others = signed < @as(@Vector(16, i8), @splat(' '));
        const special = (bytes == @as(V, @splat('"'))) | (bytes == @as(V, @splat('\\'))) | others;
        return @as(u16, @bitCast(special));
    }

    /// The same without bytes above 127, which are noted.
    inline fn oddStops(at: P, wide: *u32) u32 {
        const bytes: V = at[0..16].*;
        const special = (bytes == @as(V, @splat('"'))) | (bytes == @as(V, @splat('\\'))) |
            (bytes < @as(V, @splat(' ')));
        wide.* |= @as(u16, @bitCast(bytes > @as(V, @splat(127))));
        return @as(u16, @bitCast(special));
    }

    /// A bit for each of 16 bytes that is no digit.
    inline fn nonDigits(at: P) u32 {
        const values = @as(V, at[0..16].*) -% @as(V, @splat('0'));
        return @as(u16, @bitCast(values > @as(V, @splat(9))));
    }

    /// A string whose text begins here, and whether it has escapes.
    inline fn string(start: P, end: P, escaped: *bool) Place {
        var at = start;
        if (left(at, end) >= 16) {
            const found = stops(at);
            if (found != 0) {
                at += @ctz(found);
                if (at[0] == '"') return at + 1;
            } else at += 16;
        }
        const behind = oddString(at, end);
        escaped.* = met_escapes;
        return behind;
    }

    /// Any string, from anywhere in it.
    noinline fn oddString(start: P, end: P) Place {
        var at = start;
        var wide: u32 = 0;
        met_escapes = false;
        while (true) : (at += 1) {
            var found: u32 = 0;
            while (left(at, end) >= 32) : (at += 32) {
                found = oddStops(at, &wide) | oddStops(at + 16, &wide) << 16;
                if (found != 0) break;
            }
            if (found == 0 and left(at, end) >= 16) found = oddStops(at, &wide) | 0x10000;
            if (found != 0) at += @ctz(found);
            switch (byte(at, end)) {
                '"' => {
                    if (wide != 0) met_wide = true;
                    return at + 1;
                },
                '\\' => {
                    met_escapes = true;
                    at += 1;
                    switch (byte(at, end)) {
                        '"', '\\', '/', 'b', 'f', 'n', 'r', 't' => {},
                        'u' => {
                            if (hex4((at + 1)[0..left(at + 1, end)]) == null) return null;
                            at += 4;
                        },
                        else => return null,
                    }
                },
                0...31 => return null,
                128...255 => wide = 1,
                else => {},
            }
        }
    }

    /// A number: nearly all fit 16 bytes, with a fraction, without exponent.
    inline fn number(at: P, end: P) Place {
        if (left(at, end) < 17) return oddNumber(at, end);
        const digits = if (at[0] == '-') at + 1 else at;
        const others = nonDigits(digits) | 0x10000;
        const whole: u32 = @ctz(others);
        var behind = whole;
        var odd = whole == 0 or (digits[0] == '0' and whole != 1);
        if (whole < 16 and digits[whole] == '.') {
            const part: u32 = @ctz(others >> @intCast(whole + 1) | 0x10000);
            behind += 1 + part;
            odd = odd or part == 0;
        }
        odd = odd or behind >= 16 or digits[behind] | 0x20 == 'e';
        return if (odd) oddNumber(at, end) else digits + behind;
    }

    noinline fn oddNumber(start: P, end: P) Place {
        var at = start;
        if (byte(at, end) == '-') at += 1;
        if (byte(at, end) == '0') at += 1 else at = someDigits(at, end) orelse return null;
        if (byte(at, end) == '.') at = someDigits(at + 1, end) orelse return null;
        if (byte(at, end) | 0x20 == 'e') {
            at += 1;
            if (byte(at, end) == '+' or byte(at, end) == '-') at += 1;
            at = someDigits(at, end) orelse return null;
        }
        return at;
    }

    fn someDigits(start: P, end: P) Place {
        var at = start;
        while (byte(at, end) -% '0' < 10) at += 1;
        return if (at == start) null else at;
    }

    inline fn literal(at: P, end: P, comptime text: []const u8) Place {
        if (left(at, end) < text.len) return null;
        return if (std.mem.eql(u8, at[0..text.len], text)) at + text.len else null;
    }

    /// A value, inside so many arrays and objects.
    inline fn value(at: P, end: P, depth: u32) Place {
        var escaped = false;
        return switch (byte(at, end)) {
            '"' => string(at + 1, end, &escaped),
            '{', '[' => list(at, end, depth),
            't' => literal(at, end, "true"),
            'f' => literal(at, end, "false"),
            'n' => literal(at, end, "null"),
            else => number(at, end),
        };
    }

    /// The value behind a name and its colon.
    inline fn colon(start: P, end: P) Place {
        const at = space(start, end);
        return if (byte(at, end) == ':') space(at + 1, end) else null;
    }

    /// Where the next member or element is; behind the last what is behind the array or object.
    const Next = struct { at: Place = null, last: Place = null };

    inline fn comma(start: P, end: P, closing: u8) Next {
        const at = space(start, end);
        const c = byte(at, end);
        if (c == ',') return .{ .at = space(at + 1, end) };
        return if (c == closing) .{ .last = at + 1 } else .{};
    }

    /// Behind an opening bracket.
    inline fn open(start: P, end: P, closing: u8) Next {
        const at = space(start, end);
        return if (byte(at, end) == closing) .{ .last = at + 1 } else .{ .at = at };
    }

    noinline fn list(start: P, end: P, depth: u32) Place {
        if (depth >= depth_max) return null;
        if (start[0] == '[') {
            var next = open(start + 1, end, ']');
            while (next.at) |at| {
                next = comma(value(at, end, depth + 1) orelse return null, end, ']');
            }
            return next.last;
        }
        var next = open(start + 1, end, '}');
        while (next.at) |at| {
            var escaped = false;
            if (byte(at, end) != '"') return null;
            const name_end = string(at + 1, end, &escaped) orelse return null;
            const begin = colon(name_end, end) orelse return null;
            next = comma(value(begin, end, depth + 1) orelse return null, end, '}');
        }
        return next.last;
    }
};
