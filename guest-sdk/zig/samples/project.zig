//! Drops debug events, calls `msg` `message`, and says where events come from.
const ws = @import("wstream");

comptime {
    ws.register(@This());
}

pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
    var event = ws.Object.parse(record.value) catch
        return out.fail(1, "the value is not a JSON object");
    if (event.get("level").is("debug")) return;
    event.rename("msg", "message");
    event.setString("env", "prod");
    var output: ws.Output = .of(record);
    output.value = event.write();
    out.send(output);
}
