package mailfile_test

import (
	"strings"
	"testing"

	"mailrow/poller/mailfile"
)

// A mail that is opened while it is listed is given as it was read for that, whatever
// has become of the file; later it is looked for.
func TestListedMailIsReadOnce(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		large := "Subject: large\n\n" + strings.Repeat("a line of a mail that is not kept\n", 5<<20/34)
		text := f.file(1) + f.wrap(large, false) + f.wrap(mailOf(2), true)
		write(t, path, text)
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
			write(t, path, strings.Repeat("x", len(text)))
			mail, err := open(folder, entry)
			write(t, path, text)
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
		write(t, path, strings.Repeat("x", len(text)))
		for _, entry := range entries {
			if mail, err := open(folder, entry); err == nil {
				t.Errorf("a mail that is not there any more: %.100q", mail)
			}
		}
	})
}
