package poller

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseURI(t *testing.T) {
	for _, test := range []struct {
		in        string
		want      URI
		password  string
		canonical string
	}{
		{"maildir:///home/ann/Maildir", URI{Kind: "maildir", Path: "/home/ann/Maildir", After: AfterKeep}, "", "maildir:///home/ann/Maildir"},
		{"MailDir:///home//ann/./Maildir/", URI{Kind: "maildir", Path: "/home/ann/Maildir", After: AfterKeep}, "", "maildir:///home/ann/Maildir"},
		{"mbox:///var/mail/ann%20b%3f%25?after=delete", URI{Kind: "mbox", Path: "/var/mail/ann b?%", After: AfterDelete}, "",
			"mbox:///var/mail/ann%20b%3F%25?after=delete"},
		{"mh:///vmail/ann@example.com:x#y?archive=Done", URI{Kind: "mh", Path: "/vmail/ann@example.com:x#y", After: AfterArchive, Archive: "Done"}, "",
			"mh:///vmail/ann@example.com:x%23y?archive=Done"},
		{"babyl:///a/%ff?after=seen", URI{Kind: "babyl", Path: "/a/\xff", After: AfterSeen}, "", "babyl:///a/%FF?after=seen"},
		{"mmdf:///a?after=archive&archive=D", URI{Kind: "mmdf", Path: "/a", After: AfterArchive, Archive: "D"}, "", "mmdf:///a?archive=D"},
		{"maildir:///a?folder=INBOX&folder=Lists/*&folder=Post+f%C3%A4cher%2B&after=keep&",
			URI{Kind: "maildir", Path: "/a", Folders: []string{"INBOX", "Lists/*", "Post fächer+"}, After: AfterKeep}, "",
			"maildir:///a?folder=INBOX&folder=Lists/*&folder=Post%20fächer%2B"},
		{"imap+ssl://user%40example.com:p%40ss%2F%3A@Host.example.com:993?folder=INBOX&archive=Done",
			URI{Kind: "imap", Security: "ssl", User: "user@example.com", Host: "host.example.com", Port: 993,
				Folders: []string{"INBOX"}, After: AfterArchive, Archive: "Done"}, "p@ss/:",
			"imap+ssl://user%40example.com@host.example.com:993?folder=INBOX&archive=Done"},
		{"pop3://u:p@ss#:w@[2001:db8::1]:110/", URI{Kind: "pop3", User: "u", Host: "2001:db8::1", Port: 110, After: AfterKeep}, "p@ss#:w",
			"pop3://u@[2001:db8::1]:110"},
		{"gmail+ssl://ann%40gmail.com@imap.gmail.com", URI{Kind: "gmail", Security: "ssl", User: "ann@gmail.com", Host: "imap.gmail.com", After: AfterKeep}, "",
			"gmail+ssl://ann%40gmail.com@imap.gmail.com"},
		{"office365://host", URI{Kind: "office365", Host: "host", After: AfterKeep}, "", "office365://host"},
	} {
		got, err := ParseURI(test.in)
		if err != nil {
			t.Errorf("%s: %v", test.in, err)
			continue
		}
		if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(URI{})); diff != "" {
			t.Errorf("%s: %s", test.in, diff)
		}
		if password, has := got.Password(); password != test.password || has != (test.password != "") {
			t.Errorf("%s: password %q, %v", test.in, password, has)
		}
		if got.String() != test.canonical {
			t.Errorf("%s: canonical form %s, want %s", test.in, got, test.canonical)
		}
	}
}

func TestParseURISaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "without a scheme: write for example maildir:///home/ann/Maildir",
		"/home/ann/Maildir":               `"/home/ann/Maildir" is a path, not a source URI: write for example maildir:///`,
		"mbox":                            "without a scheme",
		"us er:secret@host":               "source URI without a scheme",
		"nntp://news.example.com":         `no kind of source "nntp"; there are babyl, gmail, imap, maildir, mbox, mh, mmdf, office365, pop3`,
		"maildir:/home/ann/Maildir":       "maildir URI without //: write for example maildir:///home/ann/Maildir",
		"maildir:Maildir":                 "maildir URI without //",
		"maildir://home/ann/Maildir":      `"home/ann/Maildir" is not an absolute path; with three slashes maildir:///home/ann/Maildir is`,
		"mbox://ann:secret@host/mail":     "mbox URI: a source on this machine has no user and no host: write for example mbox:///var/mail/ann",
		"mbox:///":                        "there is no path",
		"mbox://":                         "there is no path",
		"mbox:///a/../b":                  `path "/a/../b" has a .. in it`,
		"mbox:///a%":                      "% itself is %25",
		"mbox:///a%zz":                    "% itself is %25",
		"mbox:///a%00":                    "the path has a NUL",
		"mbox+ssl:///a":                   "a mbox has no +ssl",
		"mbox:///a?folders=x":             `there is no parameter "folders"; there are after, archive and folder`,
		"mbox:///a?after=move":            "after=move: it is one of keep, delete, archive, seen",
		"mbox:///a?after=keep&after=":     "parameter after is empty",
		"mbox:///a?after=seen&after=seen": "parameter after is there twice",
		"mbox:///a?after=archive":         "after=archive needs a folder",
		"mbox:///a?archive=D&after=keep":  "archive= and after=keep contradict",
		"mbox:///a?folder=%ff":            "parameter folder is empty or no text",
		"mbox:///a?folder=%f":             "parameter folder has a %",
		"imap://u:secret@":                "there is no server",
		"imap://u:secret@h:0":             "the port is no number between 1 and 65535",
		"imap://u:secret":                 "the port is no number",
		"imap://u:se/cret@h":              "imap URI with an @ after the server: in user and password write @ as %40, / as %2F, ? as %3F",
		"imap://u:se?cret@h":              "with an @ after the server",
		"imap://u:p@h/INBOX":              "a folder is ?folder=NAME",
		"imap://u%:p@h":                   "the user has a %",
		"imap://u:secret%@h":              "the password has a %",
		"imap://u:p@h h":                  "the server's name has a character",
	} {
		_, err := ParseURI(in)
		var bad *URIError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@") {
			t.Errorf("%s: %v shows the password", in, err)
		} else if _, err := ParseURI(bad.Example); err != nil {
			t.Errorf("%s: the example %s: %v", in, bad.Example, err)
		}
	}
}

// What is printed of a URI never holds its password, wherever the password ends up
// when somebody forgets to escape it.
func FuzzURIPassword(f *testing.F) {
	for _, password := range []string{"", "@", "/", "?", "#", "%", "%41", "@x?", "?after=", "/@", ":", "@h:", "&archive=", "://", "@h?folder=a&", " ", "\x00", "]:"} {
		f.Add(true, password, "", "@host")
		f.Add(false, "", password, "@host/path?after=delete")
	}
	const secret = "sEcReT"
	f.Fuzz(func(t *testing.T, remote bool, head, tail, after string) {
		before := "maildir://ann:"
		if remote {
			before = "imap+ssl://ann:"
		}
		if !strings.HasPrefix(after, "@") {
			t.Skip("nothing that ends the password")
		}
		u, err := ParseURI(before + head + secret + tail + after)
		check := func(said string) {
			said = strings.ToLower(said)
			if strings.Contains(said, strings.ToLower(secret)) || strings.Contains(said, fmt.Sprintf("%x", secret)) {
				t.Errorf("%q %q %q: %s", head, tail, after, said)
			}
		}
		if err != nil {
			check(fmt.Sprintf("%v %+v %#v", err, err, err))
			return
		}
		text, err := json.Marshal(map[string]any{"u": u, "p": &u})
		if err != nil {
			t.Fatal(err)
		}
		check(string(text))
		type wrapped struct {
			hidden  URI
			Shown   URI
			pointer *URI
		}
		w := wrapped{u, u, &u}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, value := range []any{u, &u, []URI{u}, w, &w, w.hidden, w.pointer} {
				check(fmt.Sprintf(verb, value))
			}
		}
		if again, err := ParseURI(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%s: read again it is %s, %v", u, again, err)
		}
	})
}
