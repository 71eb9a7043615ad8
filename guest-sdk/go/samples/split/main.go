// Makes a record of each element of an array, and one with their number for the output `totals`.
package main

import (
	"fmt"

	"wstream"
)

const totals = 1

var field = "items"

func init() {
	wstream.RegisterSetup(setup)
	wstream.Register(transform)
}

func main() {}

func setup(config *wstream.Object) error {
	given := config.Get("field")
	if given == nil {
		return nil
	}
	name, isText := given.Text()
	if !isText {
		return wstream.Fail(1, "field is not a string")
	}
	field = name
	return nil
}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	order, err := record.JSON()
	if err != nil {
		return wstream.Fail(1, err.Error())
	}
	items := order.Get(field)
	if !items.IsArray() {
		return wstream.Fail(2, field+" is not an array")
	}
	each := wstream.New().WithKey(record.Key)
	count := 0
	items.Elements(func(item wstream.Raw) bool {
		out.Send(each.WithValue(item))
		count++
		return true
	})
	out.Send(each.To(totals).WithValue(fmt.Appendf(nil, `{"count":%d}`, count)))
	return nil
}
