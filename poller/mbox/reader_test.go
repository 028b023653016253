package mbox

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mailrow/poller/mailfile"
)

// readAll reads each mail of a mailbox.
func readAll(r mailfile.Reader) (mails []string, err error) {
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

const (
	ann = "From ann@a.test Tue Mar  3 10:00:00 2026\n"
	bob = "From bob@b.test  Tue Mar  3 10:00 MET 2026\n"
)

func TestReader(t *testing.T) {
	for _, test := range []struct {
		name    string
		dialect Dialect
		file    string
		want    []string
	}{
		{"empty", Auto, "", nil},
		{"only empty lines", Auto, "\n\r\n\n", nil},
		{"two", Auto, ann + "A: 1\n\nx\n\n" + bob + "A: 2\n\ny\n\n", []string{"A: 1\n\nx\n", "A: 2\n\ny\n"}},
		{"empty line at the end missing", Auto, ann + "A: 1\n\nx\n", []string{"A: 1\n\nx\n"}},
		{"line end at the end missing", Auto, ann + "A: 1\n\nx", []string{"A: 1\n\nx"}},
		{"no bytes", Auto, ann + "\n" + bob + "\n", []string{"", ""}},
		{"nothing after the From_ line", Auto, ann, []string{""}},
		{"nothing after half a From_ line", Auto, "From ann@a.test Tue Mar  3 10:00:00 2026", []string{""}},
		{"DOS", Auto, "From a@b Tue Mar  3 10:00:00 2026\r\nA: 1\r\n\r\nx\r\n\r\nFrom a@b Tue Mar  3 10:00:00 2026\r\nA: 2\r\n\r\n\r\n", []string{"A: 1\r\n\r\nx\r\n", "A: 2\r\n\r\n"}},
		{"DOS mails in a Unix file", Auto, ann + "A: 1\r\n\r\nx\r\n\n" + bob + "A: 2\r\n\r\n\n", []string{"A: 1\r\n\r\nx\r\n", "A: 2\r\n\r\n"}},
		{"byte order mark", Auto, "\xef\xbb\xbf" + ann + "A: 1\n", []string{"A: 1\n"}},
		{"empty line before a From_ line missing", Auto, ann + "A: 1\n\nx\n" + bob + "A: 2\n", []string{"A: 1\n\nx\n", "A: 2\n"}},
		{"From_ line in a paragraph", Auto, ann + "A: 1\n\nx\n" + bob + "no field\n", []string{"A: 1\n\nx\n" + bob + "no field\n"}},
		{"prose", Auto, ann + "A: 1\n\nx\n\nFrom here on: nothing\nB: 2\n", []string{"A: 1\n\nx\n\nFrom here on: nothing\nB: 2\n"}},
		{"one word", Auto, ann + "A: 1\n\nx\n\nFrom here\nB: 2\n", []string{"A: 1\n\nx\n\nFrom here\nB: 2\n"}},
		{"Mozilla's without date", Auto, "From -\nA: 1\n\nx\n\nFrom -\nA: 2\n\nFrom -\n\nFrom here\n", []string{"A: 1\n\nx\n", "A: 2\n\nFrom -\n\nFrom here\n"}},
		{"Mozilla's without empty line", Auto, "From - \nA: 1\n\nx\nFrom - \nA: 2\n\nFrom here\nB: 1\n", []string{"A: 1\n\nx\n", "A: 2\n", "B: 1\n"}},
		{"quoted as mboxo", Auto, ann + "A: 1\n\n>From x\n>>From x\n", []string{"A: 1\n\n>From x\n>>From x\n"}},
		{"quoted as mboxrd", RD, ann + "A: 1\n\n>From x\n>>>From x\n > >From x\nx>From x\n\n", []string{"A: 1\n\nFrom x\n>>From x\n > >From x\nx>From x\n"}},
		{"quoted at both ends", RD, ann + ">From x\n>>>\n>From \n", []string{"From x\n>>>\nFrom "}},
		{"public-inbox", Auto, "From mboxrd@z Thu Jan  1 00:00:00 1970\nA: 1\n\n>From x\n\n", []string{"A: 1\n\nFrom x\n"}},
		{"mboxrd without a header", RD, ann + "x\n\n" + ann + "y\n" + ann + "\n\n", []string{"x\n", "y", "\n"}},
		{"unquoted, Content-Length", Auto, ann + "Content-Length: 46\n\nx\n\n" + ann + "y\n\n" + bob + "A: 2\n", []string{"Content-Length: 46\n\nx\n\n" + ann + "y\n", "A: 2\n"}},
		{"Content-Length to the end", Auto, ann + "Content-Length: 47\n\nx\n\n" + ann + "y\n\n", []string{"Content-Length: 47\n\nx\n\n" + ann + "y\n\n"}},
		{"Content-Length without empty line", Auto, ann + "Content-Length: 3\n\nx\n\n" + bob + "A: 2\n", []string{"Content-Length: 3\n\nx\n\n", "A: 2\n"}},
		{"Content-Length too short", Auto, ann + "Content-Length: 1\n\nxyz\n\n" + bob + "A: 2\n", []string{"Content-Length: 1\n\nxyz\n", "A: 2\n"}},
		{"Content-Length too long", Auto, ann + "Content-Length: 52\n\nxyz\n\n" + bob + "A: 2\n\nzzz\n", []string{"Content-Length: 52\n\nxyz\n", "A: 2\n\nzzz\n"}},
		{"Content-Length beyond the end", Auto, ann + "Content-Length: 9999\n\nxyz\n\n" + bob + "A: 2\n", []string{"Content-Length: 9999\n\nxyz\n", "A: 2\n"}},
		{"Content-Length beyond everything", Auto, ann + "Content-Length: 99999999999999\n\nxyz\n\n" + bob + "A: 2\n", []string{"Content-Length: 99999999999999\n\nxyz\n", "A: 2\n"}},
		{"Content-Length not meant", O, ann + "Content-Length: 46\n\nx\n\n" + ann + "y\n\n" + bob + "A: 2\n", []string{"Content-Length: 46\n\nx\n", "y\n", "A: 2\n"}},
		{"internal data", Auto, ann + "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n" + bob + "A: 2\n", []string{"A: 2\n"}},
		{"only internal data", Auto, ann + "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n", nil},
		{"header only", Auto, ann + "A: 1\n" + bob + "A: 2\n" + ann + "A: 3\n\n", []string{"A: 1\n", "A: 2\n", "A: 3\n"}},
		{"two From_ lines", Auto, ann + bob + "A: 2\n", []string{bob + "A: 2\n"}},
		{"patches", Auto, patchLine + "A: 1\n\n" + patchLine + "A: 2\n", []string{"A: 1\n", "A: 2\n"}},
		{"attached patch", Auto, ann + "A: 1\n\n" + patchLine + "A: 2\n", []string{"A: 1\n\n" + patchLine + "A: 2\n"}},
	} {
		for name, r := range map[string]io.Reader{
			"stream":       strings.NewReader(test.file),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.file)),
			"file":         io.NewSectionReader(strings.NewReader("x"+test.file), 1, int64(len(test.file))),
		} {
			got, err := readAll(NewReader(r, Options{Dialect: test.dialect}))
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%s (%s): %v\n%s", test.name, name, err, diff)
			}
		}
	}
}

const patchLine = "From fc88cba7f1f37b9cf3b296eace2422dd0e173502 Mon Sep 17 00:00:00 2001\n"

func TestNoMbox(t *testing.T) {
	for name, file := range map[string]string{
		"a mail":      "From: a@b\n\nx\n",
		"prose":       "From this we learn\nNothing: x\n",
		"MMDF":        "\x01\x01\x01\x01\n" + ann,
		"Babyl":       "BABYL OPTIONS:\n",
		"a program":   "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9000),
		"\\n nowhere": strings.Repeat("From ", 100_000),
	} {
		var want *mailfile.NotOneError
		if mails, err := readAll(NewReader(strings.NewReader(file), Options{})); !errors.As(err, &want) || len(mails) > 0 {
			t.Errorf("%s: %d mails, %v", name, len(mails), err)
		}
		if Sniff([]byte(file)) {
			t.Errorf("%s: taken for an mbox", name)
		}
	}
	for _, file := range []string{ann, "\n\n" + bob, "From -\nA: 1\n", "\xef\xbb\xbf" + ann} {
		if !Sniff([]byte(file)) {
			t.Errorf("%q: not taken for an mbox", file)
		}
	}
}

func TestReadErrorIsNoEnd(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader(ann+"A: 1\n\nx\n\n"), iotest.ErrReader(broken)), Options{})
	if _, err := r.Next(); err == nil {
		_, err = io.Copy(io.Discard, r)
		if !errors.Is(err, broken) {
			t.Errorf("end of mail: %v", err)
		}
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("next: %v", err)
		}
	} else if !errors.Is(err, broken) {
		t.Errorf("first: %v", err)
	}
}

// A mail that is longer than any buffer, with lines like separators at every place.
func TestLongMail(t *testing.T) {
	var mail bytes.Buffer
	mail.WriteString("A: 1\n\n")
	for i := 0; mail.Len() < 1<<20; i++ {
		mail.WriteString(strings.Repeat("x", i%700))
		mail.WriteString("\n\nFrom x\n>From y\n")
	}
	mail.WriteString(strings.Repeat(">", 600_000) + "From z\n")
	want := mail.String()
	for _, dialect := range []Dialect{Auto, RD} {
		file := ann + want + "\n" + bob + "A: 2\n\n\n"
		mails := []string{want, "A: 2\n\n"}
		if dialect == RD {
			mails[0] = strings.ReplaceAll(want, ">From", "From")
		}
		got, err := readAll(NewReader(strings.NewReader(file), Options{Dialect: dialect}))
		if err != nil || !cmp.Equal(got, mails) {
			t.Errorf("%s: %d mails, %v", dialect, len(got), err)
		}
	}
}
