package shell

import (
	"errors"
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][][]string{
		"":                                   nil,
		"  # nothing":                        nil,
		`select INBOX; noop`:                 {{"select", "INBOX"}, {"noop"}},
		`select "My ""folder; one" ;`:        {{"select", "My folder; one"}},
		`flags 1 add \Seen $work`:            {{"flags", "1", "add", `\Seen`, "$work"}},
		`create "a \"b\" \\c \d"`:            {{"create", `a "b" \c \d`}},
		`create 'a "b" \c'`:                  {{"create", `a "b" \c`}},
		`create Bob's`:                       {{"create", "Bob's"}},
		`create ""`:                          {{"create", ""}},
		`raw LIST "" "*"; NOOP `:             {{"raw", `LIST "" "*"; NOOP`}},
		"noop;;list Größe\tx":                {{"noop"}, {"list", "Größe", "x"}},
		`noop; # the rest; is; a "comment`:   {{"noop"}},
		`search SUBJECT "a # b" FROM # c; x`: {{"search", "SUBJECT", "a # b", "FROM", "#", "c"}, {"x"}},
	} {
		commands, err := split(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		var got [][]string
		for _, c := range commands {
			var words []string
			for _, w := range c.words {
				words = append(words, w.text)
			}
			got = append(got, words)
		}
		if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if _, err := split(`select "INBOX`); !errors.Is(err, errQuote) {
		t.Error(err)
	}
	if commands, _ := split(`noop; search FROM "a;b" ; x`); commands[1].text != `FROM "a;b"` {
		t.Errorf("%q", commands[1].text)
	}
}

// What completion writes is read as it was meant.
func TestQuoted(t *testing.T) {
	for _, name := range []string{"INBOX", "My folder", `a"b\c`, "x;y", "it's", "#1", "", `\Seen`, "Größe"} {
		commands, err := split("select " + quoted(name))
		if err != nil || len(commands) != 1 || len(commands[0].words) != 2 || commands[0].words[1].text != name {
			t.Errorf("%q is read as %v, %v", quoted(name), commands, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`select "a \" b"; raw x # y`)
	f.Fuzz(func(t *testing.T, line string) {
		commands, _ := split(line)
		for _, c := range commands {
			end := 0
			for _, w := range c.words {
				if w.start < end || w.end < w.start || w.end > len(line) {
					t.Fatalf("%q: word %+v after %d", line, w, end)
				}
				end = w.end
			}
		}
	})
}

func TestUIDs(t *testing.T) {
	there := []uint32{1, 3, 4, 8}
	for text, want := range map[string][]uint32{
		"3": {3}, "3:9": {3, 4, 8}, "9:3": {3, 4, 8}, "*": {8}, "4:*": {4, 8}, "*:4": {4, 8},
		"9:*": nil, "1,*": {1, 8}, "ALL": there, "found": {4}, "2,5:7": nil, "*:*": {8},
	} {
		uids, err := ParseUIDs(text, []uint32{4})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := uids.Among(there); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "0", "x", "1:", "1,,2", "1-3", "4294967296", "found"} {
		if uids, err := ParseUIDs(text, nil); err == nil {
			t.Errorf("%q: %v", text, uids)
		}
	}
	if got := spans([]uint32{1, 2, 3, 7, 9, 10}).String(); got != "1:3,7,9:10" {
		t.Error(got)
	}
	if _, err := All.Some(nil, "INBOX"); err == nil {
		t.Error("none is some")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{-1: "?", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_949: "9.9 kB", 9_960: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB", 12_345_678: "12 MB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
