//go:build !wasip1

package state

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outside a host the table is one of the process and answers as the host's does, but that nothing
// is discarded and that it has no more than entriesMax entries.

const entriesMax = 100_000

type entry struct {
	value []byte
	// Zero is for good.
	expires time.Time
}

var (
	mutex   sync.Mutex
	entries = map[string]entry{}
	// The clock; the tests' own in tests.
	now = time.Now
)

func live(key string) (entry, bool) {
	found, ok := entries[key]
	return found, ok && (found.expires.IsZero() || found.expires.After(now()))
}

func get(key, buffer []byte) int64 {
	mutex.Lock()
	defer mutex.Unlock()
	found, ok := live(string(key))
	if !ok {
		return -1
	}
	if len(found.value) <= len(buffer) {
		copy(buffer, found.value)
	}
	return int64(len(found.value))
}

func put(key, value []byte, ttlMS int64) int32 {
	mutex.Lock()
	defer mutex.Unlock()
	if len(key) == 0 || len(key) > KeyBytesMax {
		return -1
	}
	if len(value) > ValueBytesMax {
		return -2
	}
	if _, ok := entries[string(key)]; !ok && len(entries) >= entriesMax {
		return -3
	}
	added := entry{value: bytes.Clone(value)}
	if ttlMS > 0 {
		added.expires = now().Add(time.Duration(min(ttlMS, int64(1<<62)/1e6)) * time.Millisecond)
	}
	entries[string(key)] = added
	return 0
}

func remove(key []byte) bool {
	mutex.Lock()
	defer mutex.Unlock()
	_, ok := live(string(key))
	delete(entries, string(key))
	return ok
}

func scan(prefix, after, buffer []byte) int64 {
	mutex.Lock()
	defer mutex.Unlock()
	written := 0
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		found, ok := live(key)
		if !ok || !strings.HasPrefix(key, string(prefix)) || key <= string(after) {
			continue
		}
		needed := 8 + len(key) + len(found.value)
		if needed > len(buffer)-written {
			if written == 0 {
				return -int64(needed)
			}
			break
		}
		page := appendSized(buffer[written:written], key)
		appendSized(page, string(found.value))
		written += needed
	}
	return int64(written)
}

func appendSized(to []byte, text string) []byte {
	n := len(text)
	return append(append(to, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), text...)
}
