package wstream

import (
	"unicode/utf16"
	"unicode/utf8"
)

// How texts are read: each function gets a place and answers the place behind what it read, -1
// where that is no JSON.

func space(text []byte, at int) int {
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
	switch {
	case at == len(text):
		return -1, false
	case text[at] == ',':
		return space(text, at+1), true
	case text[at] == closing:
		return at + 1, false
	}
	return -1, false
}

// colon passes the colon behind a name.
func colon(text []byte, at int) int {
	at = space(text, at)
	if at == len(text) || text[at] != ':' {
		return -1
	}
	return space(text, at+1)
}

// special are the bytes that end a look at the plain text of a string.
var special = func() (table [256]bool) {
	for c := range 0x20 {
		table[c] = true
	}
	table['"'], table['\\'] = true, true
	return table
}()

// str passes a string; whether it has escapes.
func str(text []byte, at int) (int, bool) {
	escaped := false
	for at++; at < len(text); at++ {
		c := text[at]
		if !special[c] {
			continue
		}
		if c == '"' {
			return at + 1, escaped
		}
		if c != '\\' {
			return -1, false
		}
		escaped = true
		if at = escape(text, at+1); at < 0 {
			return -1, false
		}
	}
	return -1, false
}

// escape passes what stands behind a backslash, but its last byte.
func escape(text []byte, at int) int {
	if at >= len(text) {
		return -1
	}
	switch text[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at
	case 'u':
		if _, good := hex4(text, at+1); good {
			return at + 4
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

func word(text []byte, at int, word string) int {
	if len(text)-at < len(word) || string(text[at:at+len(word)]) != word {
		return -1
	}
	return at + len(word)
}

func value(text []byte, at, depth int) int {
	if at >= len(text) || depth >= depthMax {
		return -1
	}
	switch text[at] {
	case '"':
		at, _ = str(text, at)
		return at
	case '{':
		return list(text, at, depth+1, '}')
	case '[':
		return list(text, at, depth+1, ']')
	case 't':
		return word(text, at, "true")
	case 'f':
		return word(text, at, "false")
	case 'n':
		return word(text, at, "null")
	}
	return number(text, at)
}

func list(text []byte, at, depth int, closing byte) int {
	at, more := first(text, at, closing)
	for more {
		if closing == '}' {
			if at >= len(text) || text[at] != '"' {
				return -1
			}
			if at, _ = str(text, at); at < 0 {
				return -1
			}
			if at = colon(text, at); at < 0 {
				return -1
			}
		}
		if at = value(text, at, depth); at < 0 {
			return -1
		}
		if at, more = next(text, at, closing); at < 0 {
			return -1
		}
	}
	return at
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
