package wstream

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

// depthMax is how deep a value may nest.
const depthMax = 128

// ErrNotObject says that a value is not exactly one JSON object.
var ErrNotObject = errors.New("the value is not a JSON object")

// Raw is a value as it stands in its text: `"text"` with its quotes, `1.50`, `[1]`. A nil one is a
// field that is not there.
type Raw []byte

// Object is a JSON object whose fields are looked up and edited where they stand: what is not
// touched is copied as it is, and numbers keep their text. Of fields with one name the last
// counts; an edit changes all of them.
type Object struct {
	source []byte
	fields []field
	edited bool
	out    []byte
}

type field struct {
	// The name without quotes, with its escapes.
	name []byte
	// nil: removed.
	value   Raw
	escaped bool
	// It does not stand in the source as it is; else that holds it from `from` to `to`.
	touched  bool
	from, to int
}

// Parse reads an object; what it had before is gone.
func (o *Object) Parse(text []byte) error {
	o.source, o.fields, o.edited = text, o.fields[:0], false
	if !utf8.Valid(text) {
		return ErrNotObject
	}
	at := space(text, 0)
	if at == len(text) || text[at] != '{' {
		return ErrNotObject
	}
	at, more := first(text, at, '}')
	for more {
		if at >= len(text) || text[at] != '"' {
			return ErrNotObject
		}
		f := field{from: at}
		at, f.escaped = str(text, at)
		if at < 0 {
			return ErrNotObject
		}
		f.name = text[f.from+1 : at-1]
		start := colon(text, at)
		if start < 0 {
			return ErrNotObject
		}
		if at = value(text, start, 1); at < 0 {
			return ErrNotObject
		}
		f.value, f.to = Raw(text[start:at:at]), at
		o.fields = append(o.fields, f)
		if at, more = next(text, at, '}'); at < 0 {
			return ErrNotObject
		}
	}
	if space(text, at) != len(text) {
		return ErrNotObject
	}
	return nil
}

func (f *field) is(name string) bool {
	if f.value == nil {
		return false
	}
	if f.escaped {
		return string(unescape(f.name)) == name
	}
	return string(f.name) == name
}

// Get is the value of a field, nil if there is no such field.
func (o *Object) Get(name string) Raw {
	for i := len(o.fields) - 1; i >= 0; i-- {
		if o.fields[i].is(name) {
			return o.fields[i].value
		}
	}
	return nil
}

// Remove removes a field; false if there is none.
func (o *Object) Remove(name string) bool {
	found := false
	for i := range o.fields {
		if o.fields[i].is(name) {
			o.fields[i].value, o.edited, found = nil, true, true
		}
	}
	return found
}

// Rename gives a field another name in its place; a field that had that name is removed. False if
// there is no such field.
func (o *Object) Rename(from, to string) bool {
	first := 0
	for first < len(o.fields) && !o.fields[first].is(from) {
		first++
	}
	if first == len(o.fields) {
		return false
	}
	if from == to {
		return true
	}
	o.Remove(to)
	for i := first; i < len(o.fields); i++ {
		if o.fields[i].is(from) {
			o.fields[i].call(to)
		}
	}
	o.edited = true
	return true
}

func (f *field) call(name string) {
	quoted := Quote(name)
	f.name = quoted[1 : len(quoted)-1]
	f.escaped, f.touched = len(f.name) != len(name), true
}

// SetRaw sets a field to a value that is JSON already, in its place or behind the last field.
func (o *Object) SetRaw(name string, raw Raw) {
	o.edited = true
	found := false
	for i := range o.fields {
		if f := &o.fields[i]; f.is(name) {
			f.value, f.touched, found = raw, true, true
		}
	}
	if !found {
		f := field{value: raw}
		f.call(name)
		o.fields = append(o.fields, f)
	}
}

// Set sets a field to a text.
func (o *Object) Set(name, text string) { o.SetRaw(name, Quote(text)) }

// SetInt sets a field to a whole number.
func (o *Object) SetInt(name string, number int64) {
	o.SetRaw(name, strconv.AppendInt(nil, number, 10))
}

// Bytes is the object as it is now, valid until it is asked again or parses another.
func (o *Object) Bytes() []byte {
	if !o.edited {
		return o.source
	}
	out := append(o.out[:0], '{')
	for i := 0; i < len(o.fields); i++ {
		f := &o.fields[i]
		if f.value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if f.touched {
			out = append(append(append(out, '"'), f.name...), '"', ':')
			out = append(out, f.value...)
			continue
		}
		// A run of fields that nobody touched is one copy.
		from := f.from
		for i+1 < len(o.fields) && o.fields[i+1].value != nil && !o.fields[i+1].touched {
			i++
		}
		out = append(out, o.source[from:o.fields[i].to]...)
	}
	o.out = append(out, '}')
	return o.out
}

// Is says whether the value is this string.
func (r Raw) Is(text string) bool {
	if len(r) < 2 || r[0] != '"' {
		return false
	}
	inner := r[1 : len(r)-1]
	return string(inner) == text || bytes.IndexByte(inner, '\\') >= 0 && string(unescape(inner)) == text
}

// Text is the text of a string; false if the value is none.
func (r Raw) Text() (string, bool) {
	if len(r) < 2 || r[0] != '"' {
		return "", false
	}
	return string(unescape(r[1 : len(r)-1])), true
}

// Number is the value of a number; false if the value is none.
func (r Raw) Number() (float64, bool) {
	if len(r) == 0 || number(r, 0) != len(r) {
		return 0, false
	}
	// Out of the range it is infinite, as strconv has it.
	n, err := strconv.ParseFloat(string(r), 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

// Int is the value of a whole number that is written as one; false if the value is none.
func (r Raw) Int() (int64, bool) {
	if len(r) == 0 || number(r, 0) != len(r) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(r), 10, 64)
	return n, err == nil
}

// IsArray says whether the value is an array.
func (r Raw) IsArray() bool { return len(r) > 0 && r[0] == '[' }

// Elements calls each with every element of an array, until it answers false.
func (r Raw) Elements(each func(Raw) bool) {
	if !r.IsArray() {
		return
	}
	at, more := first(r, 0, ']')
	for more {
		end := value(r, at, 1)
		if end < 0 || !each(r[at:end:end]) {
			return
		}
		at, more = next(r, end, ']')
	}
}

// Object reads an object within the value.
func (r Raw) Object() (*Object, error) {
	object := &Object{}
	return object, object.Parse(r)
}

// Quote is a text as a string of JSON.
func Quote(text string) Raw {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(text)+2)
	out = append(out, '"')
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c >= 0x20:
			out = append(out, c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c == '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(out, '"')
}
