package mmdf

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readAll(r *Reader) (mails []string, err error) {
	for {
		if _, err := r.Next(); err == io.EOF {
			return mails, nil
		} else if err != nil {
			return mails, err
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return mails, err
		}
		mails = append(mails, string(raw))
	}
}

func TestReader(t *testing.T) {
	const (
		line = "\x01\x01\x01\x01\n"
		from = "From ann@a.test Tue Mar  3 10:00:00 2026\n"
	)
	for _, test := range []struct {
		name, file string
		want       []string
	}{
		{"empty", "", nil},
		{"two", line + "A: 1\n\nx\n\n" + line + line + "A: 2\n" + line, []string{"A: 1\n\nx\n\n", "A: 2\n"}},
		{"From_ lines", line + from + "A: 1\n\n" + from + line + line + "From -\nA: 2\n" + line, []string{"A: 1\n\n" + from, "A: 2\n"}},
		{"prose on top", line + "From here on\n\nx\n" + line, []string{"From here on\n\nx\n"}},
		{"one line between", line + "A: 1\n" + line + "A: 2\n" + line, []string{"A: 1\n", "A: 2\n"}},
		{"last line missing", line + "A: 1\n" + line + line + "A: 2", []string{"A: 1\n", "A: 2"}},
		{"last line end missing", line + "A: 1\n" + line[:4], []string{"A: 1\n"}},
		{"no bytes", line + line + line + from + line, []string{"", ""}},
		{"DOS", "\x01\x01\x01\x01\r\nA: 1\r\n\x01\x01\x01\x01\r\n", []string{"A: 1\r\n"}},
		{"Control-A in a line", line + "A: 1\n\n" + line[:4] + "x\n\x01\x01\x01\nx" + line + line, []string{"A: 1\n\n" + line[:4] + "x\n\x01\x01\x01\nx" + line}},
	} {
		for name, r := range map[string]io.Reader{
			"stream":       strings.NewReader(test.file),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.file)),
		} {
			got, err := readAll(NewReader(r, Options{}))
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%s (%s): %v\n%s", test.name, name, err, diff)
			}
		}
	}
	if _, err := readAll(NewReader(strings.NewReader(from), Options{})); err == nil || Sniff([]byte(from)) {
		t.Error("an mbox is taken for MMDF")
	}
}
