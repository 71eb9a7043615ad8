package wstream

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"
)

// ErrNotObject says that a value is not exactly one JSON object.
var ErrNotObject = errors.New("the value is not a JSON object")

// Raw is a value as it stands in its text: `"text"` with its quotes, `1.50`, `[1]`. A nil one is a
// field that is not there.
type Raw []byte

// Object is a JSON object whose fields are looked up and edited where they stand: what is not
// touched is copied as it is, and numbers keep their text. Of fields with one name the last
// counts; an edit changes all of them.
type Object struct {
	reader reader
	edited bool
	// The names and values that were given.
	given []byte
	out   []byte
}

// field is where a name, without its quotes, and a value stand: in the text, or in what was given.
// It has no pointers, so that to write one takes no part in the collection of memory.
type field struct {
	name, nameEnd   int
	value, valueEnd int
	state           fieldState
}

type fieldState uint8

const (
	// The name has escapes.
	escaped fieldState = 1 << iota
	removed
	nameGiven
	valueGiven
)

// Parse reads an object; what it had before is gone.
func (o *Object) Parse(text []byte) error {
	o.given, o.edited = o.given[:0], false
	r := &o.reader
	r.text, r.fields, r.wide = text, r.fields[:0], false
	at := space(text, 0)
	if at >= len(text) || text[at] != '{' {
		return ErrNotObject
	}
	at, more := first(text, at, '}')
	if more {
		at = r.members(at, '}', 0, 1)
	}
	if at < 0 || space(text, at) != len(text) || r.wide && !utf8.Valid(text) {
		return ErrNotObject
	}
	return nil
}

// add is one more field, with what an earlier object left in it.
func (r *reader) add() *field {
	if n := len(r.fields); n < cap(r.fields) {
		r.fields = r.fields[:n+1]
	} else {
		r.fields = append(r.fields, field{})
	}
	return &r.fields[len(r.fields)-1]
}

func (o *Object) nameOf(f *field) []byte {
	if f.state&nameGiven != 0 {
		return o.given[f.name:f.nameEnd]
	}
	return o.reader.text[f.name:f.nameEnd]
}

func (o *Object) valueOf(f *field) Raw {
	if f.state&valueGiven != 0 {
		return o.given[f.value:f.valueEnd:f.valueEnd]
	}
	return o.reader.text[f.value:f.valueEnd:f.valueEnd]
}

// last is the place of the last field of that name before `end`, -1 if there is none.
func (o *Object) last(name string, end int) int {
	fields := o.reader.fields[:end]
	for i := end - 1; i >= 0; i-- {
		f := &fields[i]
		if (f.nameEnd-f.name == len(name) || f.state&escaped != 0) && o.isNamed(f, name) {
			return i
		}
	}
	return -1
}

func (o *Object) isNamed(f *field, name string) bool {
	switch {
	case f.state&removed != 0:
		return false
	case f.state&escaped != 0:
		return string(unescape(o.nameOf(f))) == name
	}
	return same(o.nameOf(f), name)
}

// Get is the value of a field, nil if there is no such field.
func (o *Object) Get(name string) Raw {
	at := o.last(name, len(o.reader.fields))
	if at < 0 {
		return nil
	}
	return o.valueOf(&o.reader.fields[at])
}

// Remove removes a field; false if there is none.
func (o *Object) Remove(name string) bool {
	found := false
	for at := o.last(name, len(o.reader.fields)); at >= 0; at = o.last(name, at) {
		o.reader.fields[at].state |= removed
		o.edited, found = true, true
	}
	return found
}

// Rename gives a field another name in its place; a field that had that name is removed. False if
// there is no such field.
func (o *Object) Rename(from, to string) bool {
	at := o.last(from, len(o.reader.fields))
	if at < 0 || from == to {
		return at >= 0
	}
	o.Remove(to)
	start := len(o.given)
	o.given = append(appendQuoted(o.given, to), ':')
	for o.edited = true; at >= 0; at = o.last(from, at) {
		o.call(&o.reader.fields[at], to, start)
	}
	return true
}

// call gives a field a name, which was given last, with its colon.
func (o *Object) call(f *field, name string, start int) {
	f.name, f.nameEnd = start+1, len(o.given)-2
	f.state = f.state&^escaped | nameGiven
	if f.nameEnd-f.name != len(name) {
		f.state |= escaped
	}
}

// SetRaw sets a field to a value that is JSON already, in its place or behind the last field. A nil
// one removes it.
func (o *Object) SetRaw(name string, raw Raw) {
	if raw == nil {
		o.Remove(name)
		return
	}
	at, start := o.place(name)
	o.given = append(o.given, raw...)
	o.fill(name, at, start)
}

// Set sets a field to a text.
func (o *Object) Set(name, text string) {
	at, start := o.place(name)
	o.given = appendQuoted(o.given, text)
	o.fill(name, at, start)
}

// SetInt sets a field to a whole number.
func (o *Object) SetInt(name string, number int64) {
	at, start := o.place(name)
	o.given = strconv.AppendInt(o.given, number, 10)
	o.fill(name, at, start)
}

// place is the last field of that name, a new one if there is none, and where its value begins that
// is given next.
func (o *Object) place(name string) (at, start int) {
	o.edited = true
	at, start = o.last(name, len(o.reader.fields)), len(o.given)
	if at < 0 {
		o.given = append(appendQuoted(o.given, name), ':')
		f := o.reader.add()
		f.state = 0
		o.call(f, name, start)
		at, start = len(o.reader.fields)-1, len(o.given)
	}
	return at, start
}

// fill sets the field at that place, and those of its name before it, to the value given last.
func (o *Object) fill(name string, at, start int) {
	for ; at >= 0; at = o.last(name, at) {
		f := &o.reader.fields[at]
		f.value, f.valueEnd = start, len(o.given)
		f.state |= valueGiven
		if f.state&nameGiven != 0 && f.nameEnd+2 == start {
			// It is new: no other has its name.
			return
		}
	}
}

// Bytes is the object as it is now, valid until it is asked again or parses another.
func (o *Object) Bytes() []byte {
	if !o.edited {
		return o.reader.text
	}
	text, fields := o.reader.text, o.reader.fields
	out := append(o.out[:0], '{')
	for i := 0; i < len(fields); i++ {
		f := &fields[i]
		if f.state&removed != 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		switch {
		case f.state&(nameGiven|valueGiven) == 0:
			// A run of fields that nobody touched is one copy.
			for i+1 < len(fields) && fields[i+1].state&^escaped == 0 {
				i++
			}
			out = append(out, text[f.name-1:fields[i].valueEnd]...)
		case f.state&nameGiven == 0:
			out = append(append(out, text[f.name-1:f.nameEnd+1]...), ':')
			out = append(out, o.valueOf(f)...)
		case f.state&valueGiven != 0 && f.value == f.nameEnd+2:
			out = append(out, o.given[f.name-1:f.valueEnd]...)
		default:
			out = append(out, o.given[f.name-1:f.nameEnd+2]...)
			out = append(out, o.valueOf(f)...)
		}
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
	if bytes.IndexByte(inner, '\\') >= 0 {
		return string(unescape(inner)) == text
	}
	return same(inner, text)
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
	in := reader{text: r}
	at, more := first(r, 0, ']')
	for more {
		end := in.value(at)
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
func Quote(text string) Raw { return appendQuoted(make([]byte, 0, len(text)+2), text) }

func appendQuoted(out []byte, text string) []byte {
	start, n := len(out), len(text)
	out = slices.Grow(out, n+2)[:start+n+2]
	out[start], out[start+n+1] = '"', '"'
	in := out[start+1 : start+n+1]
	for i := range in {
		c := text[i]
		if c < ' ' || c == '"' || c == '\\' {
			return appendEscaped(out[:start+1+i], text[i:])
		}
		in[i] = c
	}
	return out
}

func appendEscaped(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
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
