//! Sends every record on as it is.
const ws = @import("wstream");

comptime {
    ws.register(@This());
}

pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
    out.send(.of(record));
}
