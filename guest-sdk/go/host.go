package wstream

// Levels of Log.
const (
	Trace = int32(iota)
	Debug
	Info
	Warn
	Error
)

// Log writes a line to the module's log; the host cuts it at 4 KiB and limits lines per second.
func Log(level int32, line string) { log(level, line) }

// Count adds to a counter.
func Count(name string, by float64) { metric(0, name, by) }

// Gauge sets a gauge.
func Gauge(name string, value float64) { metric(1, name, value) }

// Observe adds a value to a histogram.
func Observe(name string, value float64) { metric(2, name, value) }

// NowMS is milliseconds since 1970.
func NowMS() int64 { return now() }
