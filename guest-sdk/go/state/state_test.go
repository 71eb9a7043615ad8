package state

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestWhatWasPutIsThereUntilItIsDeleted(t *testing.T) {
	Clear()
	for _, want := range [][]byte{{}, []byte("1"), make([]byte, ValueBytesMax)} {
		if err := Put([]byte("a"), want); err != nil {
			t.Fatal(err)
		}
		if got, found := Get([]byte("a")); !found || got == nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d, %v", len(want), len(got), found)
		}
	}
	if !Delete([]byte("a")) || Delete([]byte("a")) {
		t.Fatal("Delete does not say whether there was one")
	}
	if _, found := Get([]byte("a")); found {
		t.Fatal("it is still there")
	}
}

func TestWhatWasPutForSomeTimeExpires(t *testing.T) {
	Clear()
	at := time.Now()
	now = func() time.Time { return at }
	defer func() { now = time.Now }()
	ttls := map[string]time.Duration{"short": 1, "long": time.Minute, "ever": 1<<63 - 1}
	for key, ttl := range ttls {
		if err := PutFor([]byte(key), nil, ttl); err != nil {
			t.Fatal(err)
		}
	}
	at = at.Add(time.Millisecond)
	if _, found := Get([]byte("short")); found || keys("") != "ever long " {
		t.Fatalf("short is there, or others are not: %s", keys(""))
	}
	at = at.Add(time.Minute)
	if Delete([]byte("long")) || keys("") != "ever " {
		t.Fatalf("long is there, or ever is not: %s", keys(""))
	}
}

func keys(prefix string) string {
	all := ""
	for key := range Scan([]byte(prefix)) {
		all += string(key) + " "
	}
	return all
}

func TestALimitThatIsHitIsNamed(t *testing.T) {
	Clear()
	rows := []struct {
		key, value int
		want       error
	}{
		{0, 0, ErrKey},
		{KeyBytesMax, ValueBytesMax, nil},
		{KeyBytesMax + 1, 0, ErrKey},
		{1, ValueBytesMax + 1, ErrValue},
	}
	for _, row := range rows {
		err := Put(make([]byte, row.key), make([]byte, row.value))
		if !errors.Is(err, row.want) {
			t.Errorf("%d and %d bytes: %v", row.key, row.value, err)
		}
	}
	answers := []error{nil, ErrKey, ErrValue, ErrEntries, ErrBytes, ErrCall}
	for answer, want := range answers {
		if err := errorOf(int32(-answer)); !errors.Is(err, want) {
			t.Errorf("answer -%d: %v", answer, err)
		}
	}
}

func TestAScanGoesThroughPagesAndLargeEntries(t *testing.T) {
	Clear()
	sizes := []int{0, 1, pageBytes, 3 * pageBytes, ValueBytesMax, 2}
	for n := range 500 {
		size := 100
		if n < len(sizes) {
			size = sizes[n]
		}
		if err := Put(fmt.Appendf(nil, "a%03d", n), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Put([]byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	for key, value := range Scan([]byte("a")) {
		if string(key) != fmt.Sprintf("a%03d", n) || n < len(sizes) && len(value) != sizes[n] {
			t.Fatalf("entry %d is %s with %d bytes", n, key, len(value))
		}
		n++
	}
	for range Scan(nil) {
		break
	}
	if n != 500 || keys("b") != "b " {
		t.Fatalf("%d entries, then %s", n, keys("b"))
	}
	Clear()
	if keys("") != "" {
		t.Fatalf("still there: %s", keys(""))
	}
}
