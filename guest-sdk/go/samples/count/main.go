// Adds to each object how many records with its key came so far, this one included.
package main

import (
	"strconv"

	"wstream"
	"wstream/state"
)

func init() { wstream.Register(transform) }

func main() {}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	if record.Key == nil {
		return wstream.Fail(2, "the record has no key")
	}
	count := int64(0)
	if stored, found := state.Get(record.Key); found {
		var err error
		if count, err = strconv.ParseInt(string(stored), 10, 64); err != nil {
			return err
		}
	}
	count++
	if err := state.Put(record.Key, strconv.AppendInt(nil, count, 10)); err != nil {
		return wstream.Fail(3, err.Error())
	}
	// If this fails, what was just put is discarded: a record that fails does not count.
	object, err := record.JSON()
	if err != nil {
		return wstream.Fail(1, err.Error())
	}
	object.SetInt("count", count)
	out.Send(wstream.Of(record).WithJSON(object))
	return nil
}
