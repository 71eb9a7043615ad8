// Passes records whose `amount` is a number from 0 on, and fails at the others: the SDK panics.
package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redpanda-data/redpanda/src/transform-sdk/go/transform"
)

func main() {
	transform.OnRecordWritten(check)
}

func check(e transform.WriteEvent, w transform.RecordWriter) error {
	// What was written before the error is taken back with it.
	if err := w.Write(e.Record()); err != nil {
		return err
	}
	var payment struct{ Amount *float64 }
	if err := json.Unmarshal(e.Record().Value, &payment); err != nil {
		return fmt.Errorf("the value is not JSON: %w", err)
	}
	if payment.Amount == nil {
		return errors.New("amount is not a number")
	}
	if *payment.Amount < 0 {
		return errors.New("amount is below 0")
	}
	return nil
}
