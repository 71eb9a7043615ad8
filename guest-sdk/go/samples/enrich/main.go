// Joins records to a table that is itself a topic: its records are kept under their keys, and
// records of other topics get the one that has their key as the field `table`.
package main

import (
	"wstream"
	"wstream/state"
)

var table string

func init() {
	wstream.RegisterSetup(setup)
	wstream.Register(transform)
}

func main() {}

func setup(config *wstream.Object) error {
	given := config.Get("table")
	if given == nil {
		return wstream.Fail(1, "table is missing")
	}
	name, isText := given.Text()
	if !isText {
		return wstream.Fail(1, "table is not a string")
	}
	table = name
	return nil
}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	if record.Topic == table {
		return keep(record)
	}
	row, found := state.Get(record.Key)
	if !found {
		out.Send(wstream.Of(record))
		return nil
	}
	object, err := record.JSON()
	if err != nil {
		return wstream.Fail(1, err.Error())
	}
	object.SetRaw("table", row)
	out.Send(wstream.Of(record).WithJSON(object))
	return nil
}

func keep(record *wstream.Record) error {
	if record.Key == nil {
		return wstream.Fail(2, "the record has no key")
	}
	if record.Value == nil {
		state.Delete(record.Key)
		return nil
	}
	if _, err := record.JSON(); err != nil {
		return wstream.Fail(1, err.Error())
	}
	if err := state.Put(record.Key, record.Value); err != nil {
		return wstream.Fail(3, err.Error())
	}
	return nil
}
