// Package wstream is the SDK for transforms in Go: a function that gets each record of a topic and
// says what becomes of it.
//
//	package main
//
//	import "wstream"
//
//	func init() { wstream.Register(transform) }
//
//	func main() {}
//
//	func transform(record *wstream.Record, out *wstream.Outputs) error {
//		event, err := record.JSON()
//		if err != nil {
//			return err
//		}
//		if event.Get("level").Is("debug") {
//			return nil // no output: the record is dropped
//		}
//		event.Rename("msg", "message")
//		out.Send(wstream.Of(record).WithJSON(event))
//		return nil
//	}
//
// Compile it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags "-s -w" -o NAME.wasm
//
// An error fails the record: it goes to the dead-letter topic and its neighbours go on; outputs
// that were sent for it before are taken back. A panic fails the record too, and costs the
// instance: state in memory is lost with it, so keep there what makes the work faster, not what
// results depend on: that is for the package wstream/state. What a record gives is valid until the
// function returns: the next record takes its place in memory.
//
// The package speaks wstream_v1, see ABI.md.
package wstream

import "math"

// Bytes is a key, a value or a header's value. A nil one is null, which differs from empty.
type Bytes = []byte

// Header is a name and a value of a record.
type Header struct {
	Name  string
	Value Bytes
}

// Record is what a transform gets. All of it is valid until the transform returns.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	// TimestampMS is milliseconds since 1970, -1 if unknown.
	TimestampMS int64
	Key, Value  Bytes

	headers     []byte
	headerCount uint32
	// All from the key's length on, which outputs have in the same form.
	body   []byte
	object Object
}

// Headers calls each with every header in order, until it answers false.
func (r *Record) Headers(each func(name, value Bytes) bool) {
	for at := r.headers; len(at) > 0; {
		var name, value Bytes
		name, at = take(at)
		value, at = take(at)
		if !each(name, value) {
			return
		}
	}
}

// Header is the value of the last header of that name.
func (r *Record) Header(name string) (value Bytes, found bool) {
	r.Headers(func(n, v Bytes) bool {
		if string(n) == name {
			value, found = v, true
		}
		return true
	})
	return value, found
}

// JSON reads the value as an object whose fields are looked up and edited where they stand.
func (r *Record) JSON() (*Object, error) {
	if err := r.object.Parse(r.Value); err != nil {
		return nil, err
	}
	return &r.object, nil
}

const (
	// ByKey lets Kafka's hash of the key choose the partition.
	ByKey = int32(-1)
	// Inherit gives an output the record's time.
	Inherit = int64(math.MinInt64)
)

// Output is a record to be sent. The zero value is no use: begin with Of or New.
type Output struct {
	// Number is the output: 0 the default, others as transform.toml names them.
	Number      uint16
	Partition   int32
	TimestampMS int64
	Key, Value  Bytes
	// Headers come behind those of the record that was given to Of.
	Headers []Header
	from    *Record
}

// Of is an output with the record's key, value, headers and time.
func Of(record *Record) Output {
	out := New()
	out.Key, out.Value, out.from = record.Key, record.Value, record
	return out
}

// New is an output with nothing but the record's time.
func New() Output { return Output{Partition: ByKey, TimestampMS: Inherit} }

// WithValue is the output with another value.
func (o Output) WithValue(value Bytes) Output {
	o.Value = value
	return o
}

// WithJSON is the output with an object as its value.
func (o Output) WithJSON(object *Object) Output {
	o.Value = object.Bytes()
	return o
}

// WithKey is the output with another key.
func (o Output) WithKey(key Bytes) Output {
	o.Key = key
	return o
}

// To is the output for another of the module's outputs.
func (o Output) To(number uint16) Output {
	o.Number = number
	return o
}

// WithoutHeaders is the output without the record's headers.
func (o Output) WithoutHeaders() Output {
	o.from = nil
	return o
}

// Failure is an error with a code, 0 to 999; other errors have the code 0.
type Failure struct {
	Code    uint16
	Message string
}

func (f *Failure) Error() string { return f.Message }

// Fail makes a Failure.
func Fail(code uint16, message string) error { return &Failure{code, message} }

// Transform is what one writes.
type Transform func(record *Record, out *Outputs) error

// Setup is called once with the configuration, an object, before the first record.
type Setup func(config *Object) error

var (
	registered Transform
	setup      Setup
)

// Register says what to call for each record. Call it in init: main never runs.
func Register(transform Transform) { registered = transform }

// RegisterSetup says what to call with the configuration. An error refuses it.
func RegisterSetup(s Setup) { setup = s }

func configure(config []byte) *Failure {
	if setup == nil {
		return nil
	}
	var object Object
	err := object.Parse(config)
	if err == nil {
		err = setup(&object)
	}
	return failureOf(err)
}

func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	if failure, ok := err.(*Failure); ok {
		return failure
	}
	return &Failure{0, err.Error()}
}
