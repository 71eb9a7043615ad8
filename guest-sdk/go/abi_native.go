//go:build !wasip1

package wstream

import (
	"fmt"
	"os"
	"time"
)

// Outside a host, as in tests: logs go to stderr, metrics nowhere.

func metric(int32, string, float64) {}

func log(level int32, line string) { fmt.Fprintln(os.Stderr, level, line) }

func now() int64 { return time.Now().UnixMilli() }
