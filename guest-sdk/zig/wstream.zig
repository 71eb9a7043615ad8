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
    @memcpy(at.*[0..bytes.len], bytes);
    at.* = at.*[bytes.len..];
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
        return std.mem.eql(u8, raw.string() orelse return false, text);
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
        var look: Look = .{ .text = bytes };
        look.number() catch return null;
        if (look.at != bytes.len) return null;
        return std.fmt.parseFloat(f64, bytes) catch null;
    }

    /// The elements of an array; null if it is none.
    pub fn elements(raw: Raw) ?Elements {
        const bytes = raw.bytes orelse return null;
        if (bytes.len < 2 or bytes[0] != '[') return null;
        var look: Look = .{ .text = bytes };
        return .{ .more = look.first(']'), .look = look };
    }
};

pub const Elements = struct {
    look: Look,
    more: bool,

    pub fn next(self: *Elements) ?Raw {
        if (!self.more) return null;
        const start = self.look.at;
        self.look.value(1) catch return null;
        const end = self.look.at;
        self.more = self.look.next(']') catch false;
        return .{ .bytes = self.look.text[start..end] };
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
        return std.mem.eql(u8, own, name);
    }

    fn call(field: *Field, name: []const u8) void {
        const quoted = quote(name);
        field.name = quoted[1 .. quoted.len - 1];
        field.escaped = field.name.len != name.len;
        field.touched = true;
    }
};

/// An object whose fields are looked up and edited where they stand: what is not touched is copied
/// as it is, numbers keep their text. Of fields with one name the last counts; an edit changes all.
pub const Object = struct {
    source: []const u8,
    room: []Field = &.{},
    len: usize = 0,
    edited: bool = false,

    pub fn parse(value: Bytes) NotAnObject!Object {
        const text = value orelse return error.NotAnObject;
        if (!std.unicode.utf8ValidateSlice(text)) return error.NotAnObject;
        var object: Object = .{ .source = text };
        var look: Look = .{ .text = text };
        look.space();
        if (look.peek() != '{') return error.NotAnObject;
        var more = look.first('}');
        while (more) {
            if (look.peek() != '"') return error.NotAnObject;
            const name = look.at + 1;
            const escaped = try look.string();
            const name_end = look.at - 1;
            try look.colon();
            const start = look.at;
            try look.value(1);
            object.add(.{
                .name = text[name..name_end],
                .value = text[start..look.at],
                .escaped = escaped,
            });
            more = try look.next('}');
        }
        look.space();
        return if (look.at == text.len) object else error.NotAnObject;
    }

    fn add(object: *Object, field: Field) void {
        if (object.len == object.room.len) {
            const room = @max(32, object.room.len * 2);
            const bytes = scratch(room * @sizeOf(Field) + @alignOf(Field));
            const aligned = std.mem.alignForward(usize, @intFromPtr(bytes.ptr), @alignOf(Field));
            const fields = @as([*]Field, @ptrFromInt(aligned))[0..room];
            @memcpy(fields[0..object.len], object.room[0..object.len]);
            object.room = fields;
        }
        object.room[object.len] = field;
        object.len += 1;
    }

    /// The value of a field.
    pub fn get(object: *const Object, name: []const u8) Raw {
        var i = object.len;
        while (i > 0) {
            i -= 1;
            if (object.room[i].is(name)) return .{ .bytes = object.room[i].value };
        }
        return .{ .bytes = null };
    }

    /// Removes a field, if there is one.
    pub fn remove(object: *Object, name: []const u8) void {
        for (object.room[0..object.len]) |*field| {
            if (!field.is(name)) continue;
            field.value = null;
            object.edited = true;
        }
    }

    /// Gives a field another name in its place, if there is one; a field that had that name is
    /// removed.
    pub fn rename(object: *Object, from: []const u8, to: []const u8) void {
        const fields = object.room[0..object.len];
        const first = for (fields, 0..) |*field, i| {
            if (field.is(from)) break i;
        } else return;
        if (std.mem.eql(u8, from, to)) return;
        object.remove(to);
        for (fields[first..]) |*field| if (field.is(from)) field.call(to);
        object.edited = true;
    }

    /// Sets a field to a value that is JSON already, in its place or behind the last field.
    pub fn set(object: *Object, name: []const u8, raw: []const u8) void {
        object.edited = true;
        var found = false;
        for (object.room[0..object.len]) |*field| {
            if (!field.is(name)) continue;
            field.value = raw;
            field.touched = true;
            found = true;
        }
        if (found) return;
        var field: Field = .{ .name = "", .value = raw };
        field.call(name);
        object.add(field);
    }

    /// Sets a field to a string.
    pub fn setString(object: *Object, name: []const u8, text: []const u8) void {
        object.set(name, quote(text));
    }

    /// The object as it is now.
    pub fn write(object: *const Object) []const u8 {
        if (!object.edited) return object.source;
        const fields = object.room[0..object.len];
        var room: usize = 2 + object.source.len;
        for (fields) |field| room += 4 + field.name.len + size(field.value);
        const all = scratch(room);
        var at: []u8 = all;
        copy(&at, "{");
        var i: usize = 0;
        while (i < fields.len) : (i += 1) {
            var value = fields[i].value orelse continue;
            if (at.len + 1 < all.len) copy(&at, ",");
            if (fields[i].touched) {
                copy(&at, "\"");
                copy(&at, fields[i].name);
                copy(&at, "\":");
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
        copy(&at, "}");
        return all[0 .. all.len - at.len];
    }
};

/// A text as a string of JSON.
pub fn quote(text: []const u8) []const u8 {
    const hex = "0123456789abcdef";
    const all = scratch(2 + text.len * 6);
    var at: []u8 = all;
    copy(&at, "\"");
    for (text) |c| switch (c) {
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
    copy(&at, "\"");
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

/// A look at a text of JSON from its front.
const Look = struct {
    text: []const u8,
    at: usize = 0,

    const depth_max = 128;

    fn peek(look: *const Look) u8 {
        return if (look.at < look.text.len) look.text[look.at] else 0;
    }

    fn space(look: *Look) void {
        while (true) : (look.at += 1) switch (look.peek()) {
            ' ', '\n', '\r', '\t' => {},
            else => return,
        };
    }

    /// Passes an opening bracket: whether something stands before the closing one.
    fn first(look: *Look, closing: u8) bool {
        look.at += 1;
        look.space();
        if (look.peek() != closing) return true;
        look.at += 1;
        return false;
    }

    /// Behind an element: whether another follows.
    fn next(look: *Look, closing: u8) NotAnObject!bool {
        look.space();
        const c = look.peek();
        look.at += 1;
        if (c == ',') {
            look.space();
            return true;
        }
        return if (c == closing) false else error.NotAnObject;
    }

    fn colon(look: *Look) NotAnObject!void {
        look.space();
        if (look.peek() != ':') return error.NotAnObject;
        look.at += 1;
        look.space();
    }

    /// Passes a string; whether it has escapes.
    fn string(look: *Look) NotAnObject!bool {
        var escaped = false;
        look.at += 1;
        while (true) : (look.at += 1) {
            look.plain();
            if (look.at >= look.text.len) return error.NotAnObject;
            switch (look.text[look.at]) {
                '"' => {
                    look.at += 1;
                    return escaped;
                },
                '\\' => {
                    escaped = true;
                    look.at += 1;
                    switch (look.peek()) {
                        '"', '\\', '/', 'b', 'f', 'n', 'r', 't' => {},
                        'u' => {
                            if (hex4(look.text[look.at + 1 ..]) == null) return error.NotAnObject;
                            look.at += 4;
                        },
                        else => return error.NotAnObject,
                    }
                },
                0...31 => return error.NotAnObject,
                else => {},
            }
        }
    }

    /// Passes 16 bytes at a time what is neither a quote, a backslash nor a control character.
    fn plain(look: *Look) void {
        const V = @Vector(16, u8);
        while (look.text.len - look.at >= 16) {
            const bytes: V = look.text[look.at..][0..16].*;
            const special = (bytes == @as(V, @splat('"'))) | (bytes == @as(V, @splat('\\'))) |
                (bytes < @as(V, @splat(0x20)));
            const mask: u16 = @bitCast(special);
            look.at += @ctz(mask);
            if (mask != 0) return;
        }
    }

    fn digits(look: *Look) bool {
        const start = look.at;
        while (look.peek() -% '0' < 10) look.at += 1;
        return look.at > start;
    }

    fn number(look: *Look) NotAnObject!void {
        if (look.peek() == '-') look.at += 1;
        if (look.peek() == '0') {
            look.at += 1;
        } else if (!look.digits()) return error.NotAnObject;
        if (look.peek() == '.') {
            look.at += 1;
            if (!look.digits()) return error.NotAnObject;
        }
        if (look.peek() | 0x20 == 'e') {
            look.at += 1;
            if (look.peek() == '+' or look.peek() == '-') look.at += 1;
            if (!look.digits()) return error.NotAnObject;
        }
    }

    fn word(look: *Look, comptime text: []const u8) NotAnObject!void {
        if (!std.mem.startsWith(u8, look.text[look.at..], text)) return error.NotAnObject;
        look.at += text.len;
    }

    fn value(look: *Look, depth: u32) NotAnObject!void {
        if (depth >= depth_max) return error.NotAnObject;
        switch (look.peek()) {
            '"' => _ = try look.string(),
            '{' => try look.list(depth + 1, '}'),
            '[' => try look.list(depth + 1, ']'),
            't' => try look.word("true"),
            'f' => try look.word("false"),
            'n' => try look.word("null"),
            else => try look.number(),
        }
    }

    fn list(look: *Look, depth: u32, closing: u8) NotAnObject!void {
        var more = look.first(closing);
        while (more) {
            if (closing == '}') {
                if (look.peek() != '"') return error.NotAnObject;
                _ = try look.string();
                try look.colon();
            }
            try look.value(depth);
            more = try look.next(closing);
        }
    }
};
