// Package state is the keyed state of the pipeline's step and partition that the instance works
// for: what a record that succeeds writes is there for every later record, after a restart and on
// another node too. A record sees what it and the records before it wrote; what a record wrote that
// fails is discarded.
//
// Only a module that imports this package imports the host's table. Outside a host, as in tests,
// the table is one of the process; Clear empties it.
package state

import (
	"errors"
	"iter"
	"time"
)

const (
	// KeyBytesMax is the length of the longest key.
	KeyBytesMax = 4096
	// ValueBytesMax is the length of the longest value.
	ValueBytesMax = 1 << 20
)

// The limits that keep an entry from being set.
var (
	ErrKey     = errors.New("a key has 1 to 4096 bytes")
	ErrValue   = errors.New("a value has at most 1048576 bytes")
	ErrEntries = errors.New("the state has as many entries as it may have")
	ErrBytes   = errors.New("the state has as many bytes as it may have")
	ErrCall    = errors.New("one call may write at most 67108864 bytes of state")
)

const (
	// What a value is asked for with first; a longer one is asked for again.
	valueBytesUsual = 256
	// What a page of a scan holds; an entry that is larger has its page to itself.
	pageBytes = 16 << 10
)

// Get is the value of a key; false if there is none, or if it has expired.
func Get(key []byte) (value []byte, found bool) {
	value = make([]byte, valueBytesUsual)
	for {
		n := get(key, value)
		if n < 0 {
			return nil, false
		}
		if n <= int64(len(value)) {
			return value[:n:n], true
		}
		value = make([]byte, n)
	}
}

// Put sets a key, for good. The error says which limit does not allow it.
func Put(key, value []byte) error { return errorOf(put(key, value, 0)) }

// PutFor sets a key for so long, at least a millisecond.
func PutFor(key, value []byte, ttl time.Duration) error {
	// Zero would be for good.
	return errorOf(put(key, value, max(ttl.Milliseconds(), 1)))
}

// Delete removes a key; false if there was none.
func Delete(key []byte) bool { return remove(key) }

// Scan goes through the entries whose key begins with prefix, in the order of the keys; all with an
// empty one. They are read page by page: a page shows the table as it is when it is read.
func Scan(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		var after []byte
		room := pageBytes
		for {
			// Each page is its own: entries may be kept.
			page := make([]byte, room)
			n := scan(prefix, after, page)
			if n == 0 {
				return
			}
			if n < 0 {
				room = int(-n)
				continue
			}
			for page, room = page[:n], pageBytes; len(page) > 0; {
				var value []byte
				after, page = take(page)
				value, page = take(page)
				if !yield(after, value) {
					return
				}
			}
		}
	}
}

// Clear removes all entries.
func Clear() {
	for key := range Scan(nil) {
		Delete(key)
	}
}

func errorOf(answer int32) error {
	switch answer {
	case 0:
		return nil
	case -1:
		return ErrKey
	case -2:
		return ErrValue
	case -3:
		return ErrEntries
	case -4:
		return ErrBytes
	}
	return ErrCall
}

// take is a length and its bytes; the host wrote them, so they are there.
func take(at []byte) (bytes, rest []byte) {
	n := int(uint32(at[0]) | uint32(at[1])<<8 | uint32(at[2])<<16 | uint32(at[3])<<24)
	at = at[4:]
	return at[:n:n], at[n:]
}
