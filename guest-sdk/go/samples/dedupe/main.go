// Drops a record whose key was seen before; with `field`, one whose value has a field that was.
package main

import (
	"math"
	"time"

	"wstream"
	"wstream/state"
)

var (
	// The field of the value to go by; the key if it is empty.
	field string
	// For how long to remember; 0 is for good.
	ttl time.Duration
)

func init() {
	wstream.RegisterSetup(setup)
	wstream.Register(transform)
}

func main() {}

func setup(config *wstream.Object) error {
	if given := config.Get("field"); given != nil {
		name, isText := given.Text()
		if !isText {
			return wstream.Fail(1, "field is not a string")
		}
		field = name
	}
	if given := config.Get("ttl_ms"); given != nil {
		ms, isInt := given.Int()
		if !isInt || ms < 1 {
			return wstream.Fail(1, "ttl_ms is not a whole number from 1 on")
		}
		ttl = time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	return nil
}

func transform(record *wstream.Record, out *wstream.Outputs) error {
	key := record.Key
	if field != "" {
		var err error
		if key, err = keyOf(record); err != nil {
			return err
		}
	}
	if key == nil {
		return wstream.Fail(2, "the record has no key")
	}
	if _, seen := state.Get(key); seen {
		return nil
	}
	var err error
	if ttl > 0 {
		err = state.PutFor(key, nil, ttl)
	} else {
		err = state.Put(key, nil)
	}
	if err != nil {
		return wstream.Fail(3, err.Error())
	}
	out.Send(wstream.Of(record))
	return nil
}

// keyOf is a string by what it means, so that escapes make no difference; its quote tells it from a
// number.
func keyOf(record *wstream.Record) ([]byte, error) {
	object, err := record.JSON()
	if err != nil {
		return nil, wstream.Fail(1, err.Error())
	}
	value := object.Get(field)
	if value == nil || string(value) == "null" {
		return nil, wstream.Fail(2, field+" is missing")
	}
	if text, isText := value.Text(); isText {
		return []byte(`"` + text), nil
	}
	return value, nil
}
