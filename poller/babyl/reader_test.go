package babyl

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type mail struct {
	Raw, Flags string
}

func readAll(r *Reader) (mails []mail, err error) {
	for {
		m, err := r.Next()
		if err == io.EOF {
			return mails, nil
		} else if err != nil {
			return mails, err
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return mails, err
		}
		mails = append(mails, mail{string(raw), strings.Join(m.Flags, " ")})
	}
}

func TestReader(t *testing.T) {
	const (
		rmail  = "BABYL OPTIONS: -*- rmail -*-\nVersion: 5\nLabels:\n\x1f"
		python = "BABYL OPTIONS:\nVersion: 5\nLabels:\n\x1f"
		eooh   = "*** EOOH ***\n"
	)
	for _, test := range []struct {
		name, file string
		want       []mail
	}{
		{"nothing", "", nil},
		{"empty", rmail, nil},
		{"as it came", rmail + "\f\n0, unseen,,\n" + eooh + "A: 1\n\nx\n\x1f", []mail{{"A: 1\n\nx\n", ""}}},
		{"shown anew", rmail + "\f\n1, answered, filed,, x,\nA: 1\nB: 2\n\n" + eooh + "A:   1\n\nx\n\n\x1f\f\n1,,\nA: 2\n\n" + eooh + "A: 2\n\n\x1f",
			[]mail{{"A: 1\nB: 2\n\nx\n\n", `\Answered filed x \Seen`}, {"A: 2\n\n", `\Seen`}}},
		{"what Rmail adds", rmail + "\f\n1, deleted, forwarded,,\nSummary-line:  3-Mar  a@b  #x\nMail-from: From a@b Tue Mar  3 10:00:00 2026\nA: 1\n\n" + eooh + "A: 1\n\nx\n\x1f",
			[]mail{{"A: 1\n\nx\n", `\Deleted $Forwarded \Seen`}}},
		{"Python", python + "\f\n1, unseen,,\nA: 1\n\n" + eooh + "x\n\ny\n\n\x1f\f\n1, unseen,,\nA: 2\n\n" + eooh + "\nx\n\x1f",
			[]mail{{"A: 1\n\nx\n\ny\n", ""}, {"A: 2\n\n\nx", ""}}},
		{"no EOOH", rmail + "\f\n1, unseen,,\nA: 1\n\nx\n\x1f\f\n0, unseen,,\n" + eooh + "A: 2\n\x1f", []mail{{"A: 1\n\nx\n", ""}, {"A: 2\n", ""}}},
		{"Control-_ in a mail", rmail + "\f\n0, unseen,,\n" + eooh + "A: 1\n\n\x1f\n\x1f\f\nx\n\x1f\n", []mail{{"A: 1\n\n\x1f\n\x1f\f\nx\n", ""}}},
		{"EOOH in a mail", rmail + "\f\n0, unseen,,\n" + eooh + "A: 1\n\n" + eooh + "x\n\x1f", []mail{{"A: 1\n\n" + eooh + "x\n", ""}}},
		{"last Control-_ missing", rmail + "\f\n0, unseen,,\n" + eooh + "A: 1\n\nx\n", []mail{{"A: 1\n\nx\n", ""}}},
		{"no bytes", rmail + "\f\n0, unseen,,\n" + eooh + "\x1f\f\n0, unseen,,\n" + eooh + "\x1f", []mail{{"", ""}, {"", ""}}},
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
	if _, err := readAll(NewReader(strings.NewReader("From a"), Options{})); err == nil || Sniff([]byte("From a")) {
		t.Error("an mbox is taken for Babyl")
	}
}
