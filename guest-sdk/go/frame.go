package wstream

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// Outputs takes what becomes of the record in work.
type Outputs struct {
	frame []byte
	// The record in work, which the host reads: it is stored before the transform is called.
	index uint32
	start int
}

// process works on one input frame, which the host wrote: its lengths are right.
func (o *Outputs) process(frame []byte, record *Record) {
	topic, at := int(frame[0])|int(frame[1])<<8, frame[2:]
	record.Topic, at = unsafe.String(unsafe.SliceData(at), topic), at[topic:]
	record.Partition = int32(u32(at))
	count := u32(at[4:])
	at = at[8:]
	o.frame = o.frame[:0]
	for o.index = 0; o.index < count; o.index++ {
		o.start = len(o.frame)
		record.Offset, record.TimestampMS = int64(u64(at)), int64(u64(at[8:]))
		body := at[16:]
		record.Key, at = take(body)
		record.Value, at = take(at)
		record.headerCount, at = u32(at), at[4:]
		headers := at
		for n := record.headerCount; n > 0; n-- {
			_, at = take(at)
			_, at = take(at)
		}
		record.headers = headers[:len(headers)-len(at)]
		record.body = body[:len(body)-len(at)]
		if err := registered(record, o); err != nil {
			o.fail(failureOf(err))
		}
	}
}

// Send sends a record on.
func (o *Outputs) Send(output Output) {
	size := 31 + len(output.Key) + len(output.Value)
	from, count := output.from, uint32(len(output.Headers))
	if from != nil {
		size += len(from.headers)
		count += from.headerCount
	}
	start := len(o.frame)
	frame := slices.Grow(o.frame, size)[:start+19]
	head := frame[start:]
	binary.LittleEndian.PutUint32(head, o.index)
	head[4] = 0
	binary.LittleEndian.PutUint16(head[5:], output.Number)
	binary.LittleEndian.PutUint32(head[7:], uint32(output.Partition))
	binary.LittleEndian.PutUint64(head[11:], uint64(output.TimestampMS))
	if from != nil && len(output.Headers) == 0 && from.holds(output.Key, output.Value) {
		o.frame = append(frame, from.body...)
		return
	}
	frame = appendBytes(frame, output.Key)
	frame = appendBytes(frame, output.Value)
	frame = append32(frame, count)
	if from != nil {
		frame = append(frame, from.headers...)
	}
	for _, header := range output.Headers {
		frame = append32(frame, uint32(len(header.Name)))
		frame = append(frame, header.Name...)
		frame = appendBytes(frame, header.Value)
	}
	o.frame = frame
}

// holds says whether the body has this key and this value.
func (r *Record) holds(key, value Bytes) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(r.body))) + 4
	return uintptr(unsafe.Pointer(unsafe.SliceData(key))) == at &&
		uintptr(unsafe.Pointer(unsafe.SliceData(value))) == at+uintptr(len(key))+4 &&
		len(r.body) == 12+len(key)+len(value)+len(r.headers)
}

func (o *Outputs) fail(failure *Failure) {
	frame := append32(o.frame[:o.start], o.index)
	frame = append(frame, 1, byte(failure.Code), byte(failure.Code>>8))
	frame = append32(frame, uint32(len(failure.Message)))
	o.frame = append(frame, failure.Message...)
}

// take is a length and its bytes: nil for a length below 0.
func take(at []byte) (Bytes, []byte) {
	n := int32(u32(at))
	at = at[4:]
	if n < 0 {
		return nil, at
	}
	return at[:n:n], at[n:]
}

func u32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func u64(b []byte) uint64 { return uint64(u32(b)) | uint64(u32(b[4:]))<<32 }

func append32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func append64(b []byte, v uint64) []byte { return append32(append32(b, uint32(v)), uint32(v>>32)) }

func appendBytes(b []byte, bytes Bytes) []byte {
	if bytes == nil {
		return append32(b, nullLength)
	}
	return append(append32(b, uint32(len(bytes))), bytes...)
}

// The length of null.
const nullLength = ^uint32(0)
