package mailfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// largeOf is a mail of some bytes, all lines of which have the word.
func largeOf(word string, size int) string {
	line := "a line of a mail with the word " + word + "\n"
	return "Subject: large\n\n" + strings.Repeat(line, size/len(line))
}

// A mail that is opened while it is listed is given as it was read for that; later, and
// when it is large, it is read again.
func TestListedMailIsReadOnce(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		in, away := filepath.Join(filepath.Dir(path), "in"), filepath.Join(filepath.Dir(path), "away")
		if err := os.Mkdir(in, 0o700); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(in, "box")
		large := largeOf("kept", 5<<20)
		write(t, path, f.file(1)+f.wrap(large, false)+f.wrap(mailOf(2), true))
		age(t)
		folder := openFolder(t, f, path, mailfile.Options{})
		listing, err := folder.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for entry, err := range listing.Entries {
			if err != nil {
				t.Fatal(err)
			}
			move(t, in, away)
			mail, err := open(folder, entry)
			move(t, away, in)
			if (err != nil) != (entry.Size > 1<<20) {
				t.Errorf("mail of %d bytes: %v", entry.Size, err)
			}
			again, err := open(folder, entry)
			if err != nil {
				t.Fatal(err)
			}
			if mail != again && mail != "" {
				t.Errorf("first %q, then %q", mail, again)
			}
			got = append(got, again)
		}
		if len(got) != 3 || got[1] != large {
			t.Fatalf("%d mails", len(got))
		}
		entries, _ := list(t, folder, "")
		move(t, in, away)
		for _, entry := range entries {
			if mail, err := open(folder, entry); err == nil {
				t.Errorf("a mail that is not there any more: %.100q", mail)
			}
		}
	})
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// A mail that is half of what it was when somebody rewrote the file, as it was listed,
// is none.
func TestFileIsRewrittenWhileItIsListed(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		const size = 1 << 20
		write(t, path, f.file(1)+f.wrap(largeOf("old", size), true))
		age(t)
		folder := openFolder(t, f, path, mailfile.Options{})
		listing, err := folder.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var before []poller.Entry
		for entry, err := range listing.Entries {
			if err != nil {
				t.Fatal(err)
			}
			if len(before) == 0 {
				write(t, path, f.file(1)+f.wrap(largeOf("new", size), true))
			} else if mail, err := open(folder, entry); !errors.Is(err, poller.ErrGone) {
				t.Errorf("a mail of %d bytes, %d lines of it new: %v", len(mail), strings.Count(mail, "new"), err)
			}
			before = append(before, entry)
		}
		if len(before) != 2 {
			t.Fatalf("%d mails", len(before))
		}
		if listing, err = folder.List(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		for entry := range listing.Entries {
			for _, old := range before[1:] {
				if mail, err := open(folder, old); !errors.Is(err, poller.ErrGone) {
					t.Errorf("while %s is listed, %s is %.100q, %v", entry.ID, old.ID, mail, err)
				}
			}
		}
	})
}
