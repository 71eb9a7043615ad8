//go:build !wasip1

package wstream

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
	"unsafe"
)

// Outside a host, as in tests: logs go to stderr, metrics nowhere.

func metric(int32, string, float64) {}

func log(level int32, line string) { fmt.Fprintln(os.Stderr, level, line) }

func now() int64 { return time.Now().UnixMilli() }

// wordAt is the eight bytes at `at`.
func wordAt(p unsafe.Pointer, at int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, at))[:])
}
