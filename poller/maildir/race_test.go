package maildir

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/poller"
)

// TestBusyFolder lists, reads and removes while another program moves mails from
// new to cur, changes their flags and delivers more: each mail is got once, as it
// is, and nothing is removed that was not got.
func TestBusyFolder(t *testing.T) {
	dir := maildirOf(t, nil)
	const mails = 700
	done := make(chan error)
	go func() { done <- churn(dir, mails) }()

	got := map[string]string{}
	busy := true
	for busy || len(listAny(t, open(t, dir, inbox))) > 0 {
		select {
		case err := <-done:
			must(t, err)
			busy = false
		default:
		}
		f := open(t, dir, inbox)
		var batch []poller.Entry
		for _, entry := range listAny(t, f) {
			text, err := tryFetch(t, f, entry)
			if err != nil {
				t.Fatalf("%s: %v", entry.ID, err) // nobody else removes
			}
			if old, again := got[entry.ID]; again && old != text {
				t.Fatalf("%s was %q and is %q", entry.ID, old, text)
			}
			got[entry.ID] = text
			batch = append(batch, entry)
		}
		must(t, f.(poller.Remover).Remove(t.Context(), batch))
		must(t, f.Close())
	}
	if len(got) != mails {
		t.Errorf("%d mails came, %d were got", mails, len(got))
	}
	for id, text := range got {
		if !strings.HasPrefix(id, text+".") {
			t.Errorf("%s holds %q", id, text)
		}
	}
}

// churn delivers mails whose bytes are the first part of their name, and renames.
func churn(dir string, mails int) error {
	for i := range mails {
		name := fmt.Sprintf("%d.host", i)
		if err := os.WriteFile(filepath.Join(dir, "tmp", name), []byte(fmt.Sprint(i)), 0o600); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)); err != nil {
			return err
		}
		for _, sub := range []string{"new", "cur"} {
			files, err := filepath.Glob(filepath.Join(dir, sub, "*"))
			if err != nil {
				return err
			}
			for _, file := range files {
				if rand.IntN(3) > 0 {
					continue
				}
				base, flags, _ := strings.Cut(filepath.Base(file), ":2,")
				flags = map[string]string{"": "S", "S": "FS", "FS": ""}[flags]
				// Removed by now, perhaps.
				if err := os.Rename(file, filepath.Join(dir, "cur", base+":2,"+flags)); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
		}
	}
	return nil
}

// listAny lists what may be moved meanwhile.
func listAny(t *testing.T, f poller.Folder) (entries []poller.Entry) {
	t.Helper()
	listing, err := f.List(t.Context(), "")
	must(t, err)
	for entry, err := range listing.Entries {
		must(t, err)
		entries = append(entries, entry)
	}
	return entries
}

// tryFetch reads a mail whose name may change more often than is looked for.
func tryFetch(t *testing.T, f poller.Folder, entry poller.Entry) (text string, err error) {
	t.Helper()
	for range 100 {
		var r io.ReadCloser
		if r, err = f.Open(t.Context(), entry); err == nil {
			bytes, err := io.ReadAll(r)
			return string(bytes), errors.Join(err, r.Close())
		}
		if errors.Is(err, poller.ErrGone) {
			return "", err
		}
		time.Sleep(time.Millisecond)
	}
	return "", err
}

func BenchmarkList(b *testing.B) {
	for _, mails := range []int{100_000} {
		b.Run(fmt.Sprint(mails), func(b *testing.B) {
			dir := maildirOf(b, nil)
			for i := range mails {
				put(b, fmt.Sprintf("%s/cur/%d.M%06dP%d.mail.example.com,S=4,W=5:2,S", dir, 1772532000+i/3, i%1000000, i%30000), "mail")
			}
			b.ReportAllocs()
			for b.Loop() {
				f := open(b, dir, inbox)
				if got := len(list(b, f)); got != mails {
					b.Fatalf("%d mails", got)
				}
			}
		})
	}
}
