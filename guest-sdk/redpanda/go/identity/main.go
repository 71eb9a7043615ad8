// Sends every record on as it is.
package main

import "github.com/redpanda-data/redpanda/src/transform-sdk/go/transform"

func main() {
	transform.OnRecordWritten(pass)
}

func pass(e transform.WriteEvent, w transform.RecordWriter) error {
	return w.Write(e.Record())
}
