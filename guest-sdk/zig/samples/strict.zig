//! Passes records whose `amount` is a number from 0 on, and fails the others.
const ws = @import("wstream");

comptime {
    ws.register(@This());
}

pub fn transform(record: *const ws.Record, out: *ws.Outputs) !void {
    var payment = ws.Object.parse(record.value) catch
        return out.fail(1, "the value is not a JSON object");
    const raw = payment.get("amount");
    const amount = raw.number() orelse -1;
    if (amount < 0) {
        const shown = raw.bytes orelse "missing";
        return out.fail(3, ws.join(&.{ "amount is not a number from 0 on: ", shown }));
    }
    out.send(.of(record));
}
