package state

import (
	"runtime"
	"unsafe"
)

//go:wasmimport wstream_kv_v1 get
func hostGet(key unsafe.Pointer, keyLen uint32, buffer unsafe.Pointer, room uint32) int64

//go:wasmimport wstream_kv_v1 put
func hostPut(key unsafe.Pointer, keyLen uint32, value unsafe.Pointer, valueLen uint32, ttlMS int64) int32

//go:wasmimport wstream_kv_v1 delete
func hostDelete(key unsafe.Pointer, keyLen uint32) int32

//go:wasmimport wstream_kv_v1 scan
func hostScan(prefix unsafe.Pointer, prefixLen uint32, after unsafe.Pointer, afterLen uint32,
	buffer unsafe.Pointer, room uint32) int64

func address(bytes []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

func get(key, buffer []byte) int64 {
	k, keyLen := address(key)
	b, room := address(buffer)
	n := hostGet(k, keyLen, b, room)
	runtime.KeepAlive(key)
	runtime.KeepAlive(buffer)
	return n
}

func put(key, value []byte, ttlMS int64) int32 {
	k, keyLen := address(key)
	v, valueLen := address(value)
	answer := hostPut(k, keyLen, v, valueLen, ttlMS)
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return answer
}

func remove(key []byte) bool {
	k, keyLen := address(key)
	answer := hostDelete(k, keyLen)
	runtime.KeepAlive(key)
	return answer != 0
}

func scan(prefix, after, buffer []byte) int64 {
	p, prefixLen := address(prefix)
	a, afterLen := address(after)
	b, room := address(buffer)
	n := hostScan(p, prefixLen, a, afterLen, b, room)
	runtime.KeepAlive(prefix)
	runtime.KeepAlive(after)
	runtime.KeepAlive(buffer)
	return n
}
