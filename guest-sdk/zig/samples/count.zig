//! Adds to each object how many records with its key came so far, this one included.
const std = @import("std");
const ws = @import("wstream");

comptime {
    ws.register(@This());
}

pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
    const key = record.key orelse return out.fail(2, "the record has no key");
    const stored = ws.state.get(key) orelse "0";
    const count = 1 + try std.fmt.parseInt(u64, stored, 10);
    const text = try std.fmt.bufPrint(ws.scratch(20), "{d}", .{count});
    ws.state.put(key, text) catch |limit| return out.fail(3, ws.state.message(limit));
    // If this fails, what was just put is discarded: a record that fails does not count.
    var object = ws.Object.parse(record.value) catch
        return out.fail(1, "the value is not a JSON object");
    object.set("count", text);
    var output: ws.Output = .of(record);
    output.value = object.write();
    out.send(output);
}
