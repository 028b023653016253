package mh

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailrow/internal/corpus"
	"mailrow/internal/needs"
	"mailrow/poller"
)

func TestCorpus(t *testing.T) {
	found, err := corpus.Find()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no mail to test with: lay the corpus beside the project, or set MAILROW_CORPUS")
	}
	must(t, err)
	generated := filepath.Join(found, "formats", "generated")
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xf", filepath.Join(generated, "mh.tar")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	source := func(n int) string {
		raw, err := os.ReadFile(filepath.Join(generated, "sources", fmt.Sprintf("%d.eml", n)))
		must(t, err)
		return string(raw)
	}
	want := []mail{
		{source(1), nil}, {source(2), []string{`\Answered`, `\Seen`}}, {source(3), nil}, {source(5), []string{`\Flagged`, `\Seen`}},
	}
	if diff := cmp.Diff(want, read(t, open(t, dir+"/mh", inbox))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]mail{{source(2), []string{`\Seen`}}}, read(t, open(t, dir+"/mh", "sub"))); diff != "" {
		t.Error(diff)
	}
}

// Python's mailbox module writes what we read, packs it while we remove, and
// reads what we left.
func TestPython(t *testing.T) {
	program, err := exec.LookPath("python3")
	if err != nil {
		needs.Missing(t, "python3", needs.Install)
	}
	dir := filepath.Join(t.TempDir(), "Mail")
	python := func(script string) string {
		t.Helper()
		out, err := exec.Command(program, "-c", "import mailbox, sys\n"+script, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	python(`
box = mailbox.MH(sys.argv[1], create=True)
for i in range(6):
    mail = mailbox.MHMessage("Subject: %d\n\n" % i)
    if i % 2: mail.add_sequence("unseen")
    if i == 2: mail.add_sequence("replied")
    box.add(mail)
box.remove(1)
`)
	f := open(t, dir, inbox)
	list := entries(t, f)
	flags := map[string]string{}
	for _, m := range read(t, f) {
		flags[m.Bytes] = strings.Join(m.Flags, " ")
	}
	want := map[string]string{
		"Subject: 1\n\n": "", "Subject: 2\n\n": `\Answered \Seen`, "Subject: 3\n\n": "", "Subject: 4\n\n": `\Seen`, "Subject: 5\n\n": "",
	}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Error(diff)
	}
	python(`box = mailbox.MH(sys.argv[1]); box.lock(); box.pack(); box.unlock()`)
	must(t, f.(poller.Marker).MarkSeen(t.Context(), list[2:3]))
	must(t, f.(poller.Remover).Remove(t.Context(), list[:2]))
	must(t, f.(poller.Archiver).Archive(t.Context(), list[4:], "Old"))
	got := python(`
box = mailbox.MH(sys.argv[1])
print([(m["subject"], m.get_sequences()) for m in box], [m["subject"] for m in box.get_folder("Old")])
`)
	if want := "[('3', []), ('4', [])] ['5']"; got != want {
		t.Errorf("Python sees %s, want %s", got, want)
	}
}

// TestBusyFolder removes what it has read while another program packs and adds:
// nothing is removed that was not read.
func TestBusyFolder(t *testing.T) {
	dir := folderOf(t, nil)
	const mails = 500
	done := make(chan error)
	go func() { done <- churn(dir, mails) }()
	got := map[string]bool{}
	for busy, left := true, 1; busy || left > 0; {
		select {
		case err := <-done:
			must(t, err)
			busy = false
		default:
		}
		f := open(t, dir, inbox)
		listing, err := f.List(t.Context(), "")
		must(t, err)
		var batch []poller.Entry
		for entry, err := range listing.Entries {
			must(t, err)
			r, err := f.Open(t.Context(), entry)
			if err != nil {
				continue // next time
			}
			text, err := io.ReadAll(r)
			must(t, errors.Join(err, r.Close()))
			got[string(text)] = true
			batch = append(batch, entry)
		}
		left = len(batch)
		if err := f.(poller.Remover).Remove(t.Context(), batch); err != nil && !busy {
			t.Fatal(err)
		}
		must(t, f.Close())
	}
	if left := tree(t, dir); len(got) != mails || len(left) > 0 {
		t.Errorf("%d mails came, %d were got, left are %q", mails, len(got), left)
	}
}

// churn adds mails, and packs the folder all the time.
func churn(dir string, mails int) error {
	for i := range mails {
		tmp := filepath.Join(dir, ".new")
		if err := os.WriteFile(tmp, fmt.Append(nil, i), 0o600); err != nil {
			return err
		}
		names, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		numbers := slices.DeleteFunc(slices.Collect(func(yield func(string) bool) {
			for _, name := range names {
				yield(name.Name())
			}
		}), func(name string) bool { return !isNumber(name) })
		slices.SortFunc(numbers, byNumber)
		for to, from := range append(numbers, ".new") {
			for ; ; to++ {
				err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, from), unix.AT_FDCWD, filepath.Join(dir, fmt.Sprint(to+1)), unix.RENAME_NOREPLACE)
				if err == unix.EEXIST && from == ".new" {
					continue
				}
				if err != nil && err != unix.EEXIST && err != unix.ENOENT {
					return err
				}
				break
			}
		}
	}
	return nil
}

func BenchmarkList(b *testing.B) {
	const mails = 100_000
	dir := folderOf(b, nil)
	old := time.Now().Add(-2 * time.Hour)
	for i := range mails {
		put(b, fmt.Sprint(dir, "/", i+1), "mail")
		must(b, os.Chtimes(fmt.Sprint(dir, "/", i+1), old, old))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(entries(b, open(b, dir, inbox))); got != mails {
			b.Fatalf("%d mails", got)
		}
	}
}
