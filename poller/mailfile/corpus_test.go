package mailfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/corpus"
	"mailrow/message"
	"mailrow/poller/babyl"
	"mailrow/poller/mailfile"
	"mailrow/poller/mbox"
	"mailrow/poller/mmdf"
)

// formats is the folder of the corpus with whole mailboxes.
func formats(t *testing.T) string {
	t.Helper()
	dir, err := corpus.Find()
	if err != nil {
		t.Skip(err)
	}
	return filepath.Join(dir, "formats")
}

type got struct {
	Raw   string
	Flags string
}

func readAll(t *testing.T, r mailfile.Reader) (mails []got) {
	t.Helper()
	for {
		m, err := r.Next()
		if err == io.EOF {
			return mails
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, got{string(raw), strings.Join(m.Flags, " ")})
	}
}

// Each file of formats/generated was made of the same five mails.
func TestGenerated(t *testing.T) {
	dir := filepath.Join(formats(t), "generated")
	auto := func(b []byte) mailfile.Reader { return mbox.NewReader(bytes.NewReader(b), mbox.Options{}) }
	rd := func(b []byte) mailfile.Reader {
		return mbox.NewReader(bytes.NewReader(b), mbox.Options{Dialect: mbox.RD})
	}
	same := func(s string) string { return s }
	// One ">" stays, or is there more.
	unquoted := func(s string) string { return strings.ReplaceAll(s, "\nFrom ", "\n>From ") }
	twice := func(s string) string {
		return strings.NewReplacer("\n>>From ", "\n>>>From ", "\n>From ", "\n>>From ", "\nFrom ", "\n>From ").Replace(s)
	}
	// length is the field that mboxcl and mboxcl2 add as the last.
	length := func(quote func(string) string) func(string) string {
		return func(s string) string {
			header, body, _ := strings.Cut(quote(s), "\n\n")
			return fmt.Sprintf("%s\nContent-Length: %d\n\n%s", header, len(body), body)
		}
	}
	// Python's mailbox, which wrote it, ends a multipart that has no end, and makes
	// an empty line before a line that should continue a field.
	python := func(s string) string {
		s = strings.Replace(s, "x-unix-mode=0600;\nname", "x-unix-mode=0600;\n\nname", 1)
		if strings.HasSuffix(s, "--Enmime-Test-100\n\n") {
			s += "\n--Enmime-Test-100--\n"
		}
		return s
	}
	none := []string{"", "", "", "", ""}
	labels := []string{"project-x", `\Answered project-x \Seen`, `\Deleted project-x \Seen`, `filed project-x \Seen`, `$Forwarded project-x \Seen`}
	status := []string{"Status: RO\n", "Status: O\n", "Status: RO\nX-Status: AF\n", "X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1 work\n", "X-Status: D\nX-Keywords: NonJunk $Forwarded\n"}
	marked := []string{`\Seen`, "", `\Seen \Answered \Flagged`, `\Seen $label1 work`, `\Deleted NonJunk $Forwarded`}
	for _, test := range []struct {
		file    string
		read    func([]byte) mailfile.Reader
		becomes func(string) string
		add     []string // on top
		flags   []string
	}{
		{"mboxrd.mbox", rd, same, none, none},
		{"mboxrd.mbox", auto, twice, none, none},
		{"mboxrd-crlf.mbox", rd, func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }, none, none},
		{"mboxrd-status-flags.mbox", rd, same, status, marked},
		{"mboxo.mbox", auto, unquoted, none, none},
		{"mboxcl.mbox", auto, length(unquoted), none, none},
		{"mboxcl2.mbox", auto, length(same), none, none},
		{"mmdf", func(b []byte) mailfile.Reader { return mmdf.NewReader(bytes.NewReader(b), mmdf.Options{}) }, same, none, none},
		{"babyl.rmail", func(b []byte) mailfile.Reader { return babyl.NewReader(bytes.NewReader(b), babyl.Options{}) }, python, none, labels},
	} {
		file, err := os.ReadFile(filepath.Join(dir, test.file))
		if err != nil {
			t.Fatal(err)
		}
		var want []got
		for i := range 5 {
			source, err := os.ReadFile(filepath.Join(dir, "sources", fmt.Sprint(i+1, ".eml")))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, got{test.add[i] + test.becomes(string(source)), test.flags[i]})
		}
		if diff := cmp.Diff(want, readAll(t, test.read(file))); diff != "" {
			t.Errorf("%s: %s", test.file, diff)
		}
		first := file[:min(len(file), 4096)]
		kinds := fmt.Sprint(mbox.Sniff(first), mmdf.Sniff(first), babyl.Sniff(first))
		if want := fmt.Sprint(strings.Contains(test.file, "mbox"), test.file == "mmdf", test.file == "babyl.rmail"); kinds != want {
			t.Errorf("%s: taken for mbox, MMDF, Babyl: %s", test.file, kinds)
		}
	}
}

// Files that others test their readers with. python is what Python 3.11's mailbox
// makes of it, for which every line that begins with "From " is a separator.
func TestCollected(t *testing.T) {
	dir := filepath.Join(formats(t), "collected")
	for _, test := range []struct {
		file         string
		want, python int
	}{
		{"imaptest-default.mbox", 6, 6},
		{"james-mime4j-mbox.rlug", 5, 5},
		{"mail-mbox-messageparser-binary_body.txt", 1, 1},
		{"mail-mbox-messageparser-hessbug.txt", 1, 1},
		{"mail-mbox-messageparser-invalid-boundaries.txt", 8, 8},
		{"mail-mbox-messageparser-mailarc-1-dos.txt", 16, 16},
		{"mail-mbox-messageparser-mailarc-2.txt", 5, 5},
		{"mail-mbox-messageparser-mailseparators.txt", 3, 3},
		{"mail-mbox-messageparser-newlines_at_beginning.txt", 1, 1},
		{"mail-mbox-messageparser-separators1.sep", 4, 4},
		{"mail-mbox-messageparser-separators2.sep", 2, 3}, // "From this principle, all of life …"
		{"mail-mbox-messageparser-vm-emacs.txt", 1, 1},
		{"mimekit-issue1189.mbox.txt", 4, 4},
		{"mimekit-simple.mbox.txt", 3, 3},
		{"mimekit-unmunged.mbox.txt", 2, 3},   // "From Russia with love", and a byte order mark
		{"notmuch-mbox-attachment.eml", 1, 2}, // an attached patch
		{"perl5-mail-box-mbox.src", 45, 45},
		{"perl5-mail-box-mbox.win", 45, 45},
	} {
		text, err := os.ReadFile(filepath.Join(dir, test.file))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), test.file) // locks are made beside it
		write(t, path, string(text))
		source, err := mbox.Open(path, mbox.Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		folder, err := source.Folder(t.Context(), "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := list(t, folder, "")
		if len(entries) != test.want {
			t.Errorf("%s: %d mails, want %d (Python: %d)", test.file, len(entries), test.want, test.python)
		}
		for _, e := range entries {
			if raw, err := open(folder, e); err != nil || !message.BeginsWithField([]byte(raw)) {
				t.Errorf("%s: %v: %.300q", test.file, err, raw)
			}
		}
	}
	for _, file := range []string{"mail-mbox-messageparser-non-mailbox.txt.gz", "mail-mbox-messageparser-mailarc-2.txt.gz"} {
		var not *mailfile.NotOneError
		if _, err := mbox.Open(filepath.Join(dir, file), mbox.Options{}); !errors.As(err, &not) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
