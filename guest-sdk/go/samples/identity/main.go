// Sends every record on as it is.
package main

import "wstream"

func init() { wstream.Register(transform) }

func main() {}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	out.Send(wstream.Of(record))
	return nil
}
