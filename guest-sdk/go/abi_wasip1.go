package wstream

import (
	"runtime"
	"unsafe"
)

// What the host reads by address must stay reachable: package variables.
var (
	input   []byte
	outputs Outputs
	record  Record
)

//go:wasmimport wstream_v1 log
func hostLog(level int32, ptr unsafe.Pointer, n uint32)

//go:wasmimport wstream_v1 metric
func hostMetric(kind int32, ptr unsafe.Pointer, n uint32, value float64)

//go:wasmimport wstream_v1 fail
func hostFail(code int32, ptr unsafe.Pointer, n uint32)

//go:wasmimport wstream_v1 now_ms
func hostNow() int64

//go:wasmexport wstream_abi_v1
func abi() {}

//go:wasmexport wstream_cursor
func cursorAddress() unsafe.Pointer { return unsafe.Pointer(&outputs.index) }

//go:wasmexport wstream_alloc
func alloc(n uint32) unsafe.Pointer {
	if uint32(cap(input)) < n {
		input = make([]byte, n)
	}
	return unsafe.Pointer(unsafe.SliceData(input))
}

//go:wasmexport wstream_init
func initialize(ptr unsafe.Pointer, n uint32) int32 {
	if registered == nil {
		return refuse(&Failure{0, "no transform: call wstream.Register in init"})
	}
	if failure := configure(unsafe.Slice((*byte)(ptr), n)); failure != nil {
		return refuse(failure)
	}
	return 0
}

func refuse(failure *Failure) int32 {
	text := failure.Message
	hostFail(int32(failure.Code), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
	runtime.KeepAlive(text)
	return -1
}

//go:wasmexport wstream_process
func process(ptr unsafe.Pointer, n uint32) uint64 {
	outputs.process(unsafe.Slice((*byte)(ptr), n), &record)
	address := uintptr(unsafe.Pointer(unsafe.SliceData(outputs.frame)))
	return uint64(address)<<32 | uint64(len(outputs.frame))
}

func metric(kind int32, name string, value float64) {
	hostMetric(kind, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), value)
	runtime.KeepAlive(name)
}

func log(level int32, line string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
	runtime.KeepAlive(line)
}

func now() int64 { return hostNow() }

// wordAt is the eight bytes at `at`. WebAssembly has no alignment to heed.
func wordAt(p unsafe.Pointer, at int) uint64 { return *(*uint64)(unsafe.Add(p, at)) }
