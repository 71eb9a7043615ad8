// Passes records whose `amount` is a number from 0 on, and fails the others.
package main

import "wstream"

func init() { wstream.Register(transform) }

func main() {}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	payment, err := record.JSON()
	if err != nil {
		return wstream.Fail(1, err.Error())
	}
	raw := payment.Get("amount")
	if amount, isNumber := raw.Number(); !isNumber || amount < 0 {
		shown := string(raw)
		if raw == nil {
			shown = "missing"
		}
		return wstream.Fail(3, "amount is not a number from 0 on: "+shown)
	}
	out.Send(wstream.Of(record))
	return nil
}
