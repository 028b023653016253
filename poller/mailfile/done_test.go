package mailfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailrow/poller"
	"mailrow/poller/mailfile"
)

func TestRemove(t *testing.T) {
	for name, remove := range map[string][]int{"first": {1}, "middle": {2, 3}, "last": {3, 4}, "all": {1, 2, 3, 4}, "first and last": {4, 1}, "none": {}} {
		eachForm(t, func(t *testing.T, f form, path string) {
			write(t, path, f.file(1, 2, 3, 4))
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			folder := openFolder(t, f, path, mailfile.Options{})
			entries, _ := list(t, folder, "")
			var gone []poller.Entry
			left := []int{1, 2, 3, 4}
			for _, i := range remove {
				gone = append(gone, entries[i-1])
				left = slices.DeleteFunc(left, func(n int) bool { return n == i })
			}
			for range 2 { // the second time there is nothing to do
				if err := folder.(poller.Remover).Remove(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
				check(t, name, path, f.file(left...))
			}
			if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() {
				t.Errorf("%s: mode %v: %v", name, after.Mode(), err)
			}
			for i, e := range entries {
				raw, err := open(folder, e)
				if slices.Contains(left, i+1) {
					if err != nil || raw != mailOf(i+1) {
						t.Errorf("%s: mail %d is %q, %v", name, i+1, raw, err)
					}
				} else if !errors.Is(err, poller.ErrGone) {
					t.Errorf("%s: mail %d: %v, want that it is gone", name, i+1, err)
				}
			}
		})
	}
}

// What has come since the listing is not touched, and what was moved is found.
func TestRemoveFromWhatHasChanged(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		write(t, path, f.file(1, 2, 3))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		write(t, path, f.file(1, 2, 3, 4))
		if err := folder.(poller.Remover).Remove(t.Context(), entries[2:]); err != nil {
			t.Fatal(err)
		}
		check(t, "appended", path, f.file(1, 2, 4))
		write(t, path, f.head+f.wrap(mailOf(0), false)+f.wrap(mailOf(1), true)+f.wrap(mailOf(2), true))
		if err := folder.(poller.Remover).Remove(t.Context(), entries[:1]); err != nil {
			t.Fatal(err)
		}
		check(t, "moved and marked", path, f.head+f.wrap(mailOf(0), false)+f.wrap(mailOf(2), true))
	})
}

// UW, Pine and Dovecot number mails by a mail that is none.
func TestInternalDataStays(t *testing.T) {
	f := forms["mbox"]
	f.head = fromLine + "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n\nx\n\n"
	for _, remove := range []int{1, 2} {
		path := filepath.Join(t.TempDir(), "box")
		write(t, path, f.file(1, 2))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		if len(entries) != 2 {
			t.Fatalf("%d mails", len(entries))
		}
		if err := folder.(poller.Remover).Remove(t.Context(), entries[:remove]); err != nil {
			t.Fatal(err)
		}
		check(t, "internal data", path, f.file([]int{1, 2}[remove:]...))
	}
}

func TestRemoveOneOfTwoThatAreTheSame(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		write(t, path, f.file(1, 2, 1))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		if entries[0].ID != entries[2].ID || entries[0].ID == entries[1].ID {
			t.Fatalf("ids %v", entries)
		}
		if err := folder.(poller.Remover).Remove(t.Context(), entries[2:]); err != nil {
			t.Fatal(err)
		}
		check(t, "one", path, f.file(1, 2))
	})
}

func TestMarkSeen(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		write(t, path, f.file(1, 2, 3))
		folder := openFolder(t, f, path, mailfile.Options{})
		before, _ := list(t, folder, "")
		for range 2 {
			if err := folder.(poller.Marker).MarkSeen(t.Context(), before[1:2]); err != nil {
				t.Fatal(err)
			}
			check(t, "marked", path, f.file(1)+f.wrap(mailOf(2), true)+strings.TrimPrefix(f.file(3), f.head))
		}
		after, _ := list(t, folder, "")
		for i := range after {
			if before[i].ID != after[i].ID {
				t.Errorf("mail %d has got another id", i)
			}
			if seen := slices.Contains(after[i].Flags, `\Seen`); seen != (i == 1) {
				t.Errorf("mail %d: flags %v", i, after[i].Flags)
			}
		}
	})
}

func TestArchive(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		archive := filepath.Join(filepath.Dir(path), "old", "2026")
		write(t, path, f.file(1, 2, 3, 4))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		move := func(entries ...poller.Entry) {
			t.Helper()
			if err := folder.(poller.Archiver).Archive(t.Context(), entries, "old/2026"); err != nil {
				t.Fatal(err)
			}
		}
		move(entries[0], entries[2])
		check(t, "source", path, f.file(2, 4))
		check(t, "archive", archive, f.file(1, 3))
		move(entries[1])
		check(t, "archive", archive, f.file(1, 3, 2))

		// A crash after the mail was appended, and before it was removed.
		write(t, archive, f.file(1, 3, 2, 4))
		move(entries[3])
		check(t, "source", path, f.head)
		check(t, "archive after a crash", archive, f.file(1, 3, 2, 4))

		// A crash amid the mail.
		write(t, path, f.file(5))
		whole := f.file(1, 5)
		write(t, archive, whole[:len(whole)-20])
		entries, _ = list(t, folder, "")
		move(entries...)
		check(t, "archive after a crash amid a mail", archive, whole)
	})
}

// What stands around the last mail of a file may be missing. In the archive it is
// there.
func TestArchiveOfTheLastMail(t *testing.T) {
	for name, missing := range map[string]string{"mbox": "\n", "MMDF": "\x01\x01\x01\x01\n", "Babyl": "\x1f"} {
		for _, lineEnd := range []string{"", "\n"} {
			if name == "Babyl" && lineEnd == "" {
				continue // Rmail's mails end in one
			}
			t.Run(fmt.Sprintf("%s %q", name, lineEnd), func(t *testing.T) {
				f := forms[name]
				path := filepath.Join(t.TempDir(), "box")
				text := strings.TrimSuffix(strings.TrimSuffix(f.file(1), missing), "\n") + lineEnd
				folder := openFolder(t, f, writeAs(t, path, text), mailfile.Options{})
				for range 2 {
					write(t, path, text)
					entries, _ := list(t, folder, "")
					if err := folder.(poller.Archiver).Archive(t.Context(), entries, "old"); err != nil {
						t.Fatal(err)
					}
					if entries, _ := list(t, folder, ""); len(entries) > 0 {
						t.Errorf("%d mails are left", len(entries))
					}
				}
				archive, err := os.ReadFile(filepath.Join(filepath.Dir(path), "old"))
				if err != nil || !strings.HasPrefix(string(archive), f.file(1)) {
					t.Errorf("%v: %q", err, archive)
				}
			})
		}
	}
}
