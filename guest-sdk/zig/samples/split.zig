//! Makes a record of each element of an array, and one with their number for the output `totals`.
const std = @import("std");
const ws = @import("wstream");

const totals = 1;

var name_buffer: [64]u8 = undefined;
var field: []const u8 = "items";

comptime {
    ws.register(@This());
}

pub fn setup(config: *ws.Object) !void {
    const given = config.get("field");
    if (given.bytes == null) return;
    const name = given.string() orelse return ws.refuse(1, "field is not a string");
    if (name.len > name_buffer.len) return ws.refuse(1, "field is longer than 64 bytes");
    @memcpy(name_buffer[0..name.len], name);
    field = name_buffer[0..name.len];
}

pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
    var order = ws.Object.parse(record.value) catch
        return out.fail(1, "the value is not a JSON object");
    var elements = order.get(field).elements() orelse
        return out.fail(2, ws.join(&.{ field, " is not an array" }));
    var count: usize = 0;
    while (elements.next()) |element| : (count += 1) {
        out.send(.{ .key = record.key, .value = element.bytes });
    }
    const value = try std.fmt.bufPrint(ws.scratch(40), "{{\"count\":{d}}}", .{count});
    out.send(.{ .number = totals, .key = record.key, .value = value });
}
