// Drops debug events, calls `msg` `message`, and says where events come from.
package main

import "wstream"

func init() { wstream.Register(transform) }

func main() {}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	event, err := record.JSON()
	if err != nil {
		return wstream.Fail(1, err.Error())
	}
	if event.Get("level").Is("debug") {
		return nil
	}
	event.Rename("msg", "message")
	event.Set("env", "prod")
	out.Send(wstream.Of(record).WithJSON(event))
	return nil
}
