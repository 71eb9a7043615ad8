// Makes a record of each element of `items`, and one with their number for the second topic if
// there is one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/redpanda-data/redpanda/src/transform-sdk/go/transform"
)

var totals, hasTotals = os.LookupEnv("REDPANDA_OUTPUT_TOPIC_1")

func main() {
	transform.OnRecordWritten(split)
}

func split(e transform.WriteEvent, w transform.RecordWriter) error {
	var order struct{ Items []json.RawMessage }
	if err := json.Unmarshal(e.Record().Value, &order); err != nil {
		return fmt.Errorf("the value is not JSON: %w", err)
	}
	if order.Items == nil {
		return errors.New("items is not an array")
	}
	key := e.Record().Key
	for _, item := range order.Items {
		if err := w.Write(transform.Record{Key: key, Value: item}); err != nil {
			return err
		}
	}
	if !hasTotals {
		return nil
	}
	count := fmt.Appendf(nil, `{"count":%d}`, len(order.Items))
	return w.Write(transform.Record{Key: key, Value: count}, transform.ToTopic(totals))
}
