package wstream

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// How texts are read: each function gets a place and answers the place behind what it read, -1
// where that is no JSON. In a module of Go's a call takes as long as some twenty operations, and a
// jump goes by way of a table: so what is common is read in one function, eight bytes together, and
// what is rare is a call.

// depthMax is how deep a value may nest.
const depthMax = 128

// reader is a text that is read, and what is found in it.
type reader struct {
	text []byte
	// The fields of the outermost object.
	fields []field
	// Whether a string since this was last set to 0 has escapes.
	escaped fieldState
	// A string holds bytes above 127, which nobody has checked yet.
	wide bool
	// The brackets that close what the container in work stands in.
	closings [depthMax]byte
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

func byteAt(p unsafe.Pointer, at int) byte { return *(*byte)(unsafe.Add(p, at)) }

// stops are the high bits of the bytes that end a look at the plain text of a string: quotes,
// backslashes, what is below a space or above 127. Only the lowest is sure: a difference borrows
// from the bytes above.
func stops(w uint64) uint64 {
	return ((w ^ '"'*ones - ones) | (w ^ '\\'*ones - ones) | (w - ' '*ones) | w) & highs
}

// notDigits are the high bits of the bytes that are no digits.
func notDigits(w uint64) uint64 {
	w ^= '0' * ones
	return ((w&^highs + (0x80-10)*ones) | w) & highs
}

// space passes white space, of which there mostly is none.
func space(text []byte, at int) int {
	if at < len(text) && text[at] <= ' ' {
		return moreSpace(text, at)
	}
	return at
}

//go:noinline
func moreSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// first passes an opening bracket; whether something stands before the closing one, which is
// passed too if not.
func first(text []byte, at int, closing byte) (int, bool) {
	at = space(text, at+1)
	if at < len(text) && text[at] == closing {
		return at + 1, false
	}
	return at, true
}

// next passes what stands behind an element: whether another follows.
func next(text []byte, at int, closing byte) (int, bool) {
	at = space(text, at)
	if at >= len(text) {
		return -1, false
	}
	switch text[at] {
	case ',':
		return space(text, at+1), true
	case closing:
		return at + 1, false
	}
	return -1, false
}

// colon passes the colon behind a name, to where a value begins.
//
//go:noinline
func colon(text []byte, at int) int {
	at = space(text, at)
	if at >= len(text) || text[at] != ':' {
		return -1
	}
	if at = space(text, at+1); at >= len(text) {
		return -1
	}
	return at
}

// near is where the text of a string ends that goes on at `at`, if its quote is there; else it is
// told by `rest`.
func near(p unsafe.Pointer, at, n int) int {
	if at+8 <= n {
		at += bits.TrailingZeros64(stops(wordAt(p, at))) >> 3
	}
	return at
}

// rest is the place of the quote that ends the string whose text goes on at `at`.
//
//go:noinline
func (r *reader) rest(at int) int {
	text, n := r.text, len(r.text)
	p := unsafe.Pointer(unsafe.SliceData(text))
	for {
		stop := uint64(0)
		for ; at+8 <= n; at += 8 {
			if stop = stops(wordAt(p, at)); stop != 0 {
				at += bits.TrailingZeros64(stop) >> 3
				break
			}
		}
		if at >= n {
			return -1
		}
		switch c := byteAt(p, at); {
		case c == '"':
			return at
		case c == '\\':
			r.escaped = escaped
			if at = escape(text, at+1); at < 0 {
				return -1
			}
		case c < ' ':
			return -1
		default:
			r.wide = r.wide || c >= 0x80
			at++
		}
	}
}

// escape passes what stands behind a backslash.
func escape(text []byte, at int) int {
	if at >= len(text) {
		return -1
	}
	switch text[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 1
	case 'u':
		if _, good := hex4(text, at+1); good {
			return at + 5
		}
	}
	return -1
}

func hex4(text []byte, at int) (rune, bool) {
	if len(text)-at < 4 {
		return 0, false
	}
	unit := rune(0)
	for _, c := range text[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

func digits(text []byte, at int) int {
	for at < len(text) && text[at]-'0' < 10 {
		at++
	}
	return at
}

// bare passes a number or a word. Most are digits, perhaps with a fraction that ends within eight
// bytes.
func bare(text []byte, at int) int {
	p, n := unsafe.Pointer(unsafe.SliceData(text)), len(text)
	end := at
	others := uint64(0)
	for ; end+8 <= n; end += 8 {
		if others = notDigits(wordAt(p, end)); others != 0 {
			break
		}
	}
	if others == 0 {
		return rareBare(text, at)
	}
	end += bits.TrailingZeros64(others) >> 3
	whole, c := end, byteAt(p, end)
	if c == '.' && end+9 <= n {
		others = notDigits(wordAt(p, end+1))
		end += 1 + bits.TrailingZeros64(others)>>3
		c = 'e'
		if others != 0 && end > whole+1 {
			c = byteAt(p, end)
		}
	}
	// A zero in front stands alone.
	if c == '.' || c|0x20 == 'e' || whole == at || whole > at+1 && byteAt(p, at) == '0' {
		return rareBare(text, at)
	}
	return end
}

//go:noinline
func rareBare(text []byte, at int) int {
	switch text[at] {
	case 't':
		return word(text, at, "true")
	case 'f':
		return word(text, at, "false")
	case 'n':
		return word(text, at, "null")
	}
	return number(text, at)
}

func word(text []byte, at int, word string) int {
	if len(text)-at < len(word) || string(text[at:at+len(word)]) != word {
		return -1
	}
	return at + len(word)
}

func number(text []byte, at int) int {
	if at < len(text) && text[at] == '-' {
		at++
	}
	whole := at
	at = digits(text, at)
	if at == whole || text[whole] == '0' && at > whole+1 {
		return -1
	}
	if at < len(text) && text[at] == '.' {
		fraction := at + 1
		if at = digits(text, fraction); at == fraction {
			return -1
		}
	}
	if at < len(text) && text[at]|0x20 == 'e' {
		at++
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		exponent := at
		if at = digits(text, at); at == exponent {
			return -1
		}
	}
	return at
}

// value passes a value that stands in one container.
func (r *reader) value(at int) int {
	if at >= len(r.text) {
		return -1
	}
	c := r.text[at]
	if c == '"' {
		if at = r.rest(at + 1); at < 0 {
			return -1
		}
		return at + 1
	}
	if c|0x20 != '{' {
		return bare(r.text, at)
	}
	// Closing brackets come two behind their opening ones in ASCII.
	at, more := first(r.text, at, c+2)
	if more {
		at = r.members(at, c+2, 1, 0)
	}
	return at
}

// members passes what stands in a container, from its first element on, and its closing bracket.
// `outside` containers are around it. Fields that stand in `noted` containers are put down.
func (r *reader) members(at int, closing byte, outside, noted int) int {
	text, depth := r.text, outside+1
	p, n := unsafe.Pointer(unsafe.SliceData(text)), len(text)
	var f *field
	for at < n {
		if closing == '}' {
			if byteAt(p, at) != '"' {
				return -1
			}
			name := at + 1
			end := near(p, name, n)
			r.escaped = 0
			if end >= n || byteAt(p, end) != '"' {
				if end = r.rest(name); end < 0 {
					return -1
				}
			}
			if at = end + 2; at >= n || byteAt(p, end+1) != ':' || byteAt(p, at) <= ' ' {
				if at = colon(text, end+1); at < 0 {
					return -1
				}
			}
			if depth == noted {
				f = r.add()
				f.name, f.nameEnd, f.value, f.state = name, end, at, r.escaped
			}
		}
		// A value begins here.
		if c := byteAt(p, at); c == '"' {
			end := near(p, at+1, n)
			if end >= n || byteAt(p, end) != '"' {
				if end = r.rest(at + 1); end < 0 {
					return -1
				}
			}
			at = end + 1
		} else if c|0x20 == '{' && depth < depthMax {
			if at = space(text, at+1); at >= n || byteAt(p, at) != c+2 {
				r.closings[depth], closing, depth = closing, c+2, depth+1
				continue
			}
			at++
		} else if at = bare(text, at); at < 0 {
			return -1
		}
		// And has ended here, perhaps with containers that it is the last of.
		for {
			if depth == noted {
				f.valueEnd = at
			}
			if at = space(text, at); at >= n {
				return -1
			}
			c := byteAt(p, at)
			at++
			if c == ',' {
				at = space(text, at)
				break
			}
			if c != closing {
				return -1
			}
			if depth--; depth == outside {
				return at
			}
			closing = r.closings[depth]
		}
	}
	return -1
}

// same says whether bytes are those of a text. The comparison that Go has goes byte by byte.
func same(text []byte, other string) bool {
	if len(text) != len(other) {
		return false
	}
	p, q := unsafe.Pointer(unsafe.SliceData(text)), unsafe.Pointer(unsafe.StringData(other))
	at := 0
	for ; at+8 <= len(text); at += 8 {
		if wordAt(p, at) != wordAt(q, at) {
			return false
		}
	}
	for ; at < len(text); at++ {
		if byteAt(p, at) != byteAt(q, at) {
			return false
		}
	}
	return true
}

// unescape is what stands between quotes as text; half a surrogate pair becomes U+FFFD.
func unescape(inner []byte) []byte {
	at := 0
	for at < len(inner) && inner[at] != '\\' {
		at++
	}
	if at == len(inner) {
		return inner
	}
	out := append(make([]byte, 0, len(inner)), inner[:at]...)
	for ; at < len(inner); at++ {
		if inner[at] != '\\' {
			out = append(out, inner[at])
			continue
		}
		at++
		switch inner[at] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			unit, _ := hex4(inner, at+1)
			at += 4
			if utf16.IsSurrogate(unit) {
				low, good := rune(0), false
				if len(inner)-at > 6 && inner[at+1] == '\\' && inner[at+2] == 'u' {
					low, good = hex4(inner, at+3)
				}
				if unit = utf16.DecodeRune(unit, low); good && unit != utf8.RuneError {
					at += 6
				}
			}
			out = utf8.AppendRune(out, unit)
		default:
			out = append(out, inner[at])
		}
	}
	return out
}
