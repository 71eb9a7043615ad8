package wstream

import "testing"

func TestAStringIsWhatItsEscapesMean(t *testing.T) {
	rows := []struct {
		raw, text string
		want      bool
	}{
		{`"debug"`, "debug", true},
		{`"d\u0065bug"`, "debug", true},
		{`"a\nb"`, "a\nb", true},
		{`"a\nb"`, `a\nb`, false},
		{`"a\\nb"`, `a\nb`, true},
		{`"a long text of its own"`, "a long text of its owl", false},
		{`""`, "", true},
		{`1`, "1", false},
	}
	for _, row := range rows {
		if got := Raw(row.raw).Is(row.text); got != row.want {
			t.Errorf("%s is %q: %v", row.raw, row.text, got)
		}
	}
}

func TestFieldsAreEditedWhereTheyStand(t *testing.T) {
	rows := []struct {
		text string
		edit func(o *Object)
		want string
	}{
		{`{"a":1 , "b":2}`, func(o *Object) { o.SetInt("a", 3) }, `{"a":3,"b":2}`},
		{`{"a":1,"b":2,"a":3}`, func(o *Object) { o.Set("a", `"`) }, `{"a":"\"","b":2,"a":"\""}`},
		{`{"a":1,"b":2}`, func(o *Object) { o.Rename("a", "b") }, `{"b":1}`},
		{`{"a":1}`, func(o *Object) { o.Rename("a", "\t"); o.SetInt("\t", 2) }, `{"\t":2}`},
		{`{}`, func(o *Object) { o.Set("a", "b"); o.SetRaw("c", o.Get("a")); o.SetInt("a", 1) }, `{"a":1,"c":"b"}`},
		{`{"a":1}`, func(o *Object) { o.SetRaw("a", nil); o.SetRaw("b", nil) }, `{}`},
	}
	for _, row := range rows {
		var o Object
		if err := o.Parse([]byte(row.text)); err != nil {
			t.Fatal(err)
		}
		row.edit(&o)
		if got := string(o.Bytes()); got != row.want {
			t.Errorf("%s became %s instead of %s", row.text, got, row.want)
		}
	}
}
