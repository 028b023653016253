package poller

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailrow/poller/dial"
)

var pin = "pin=sha256:" + strings.Repeat("0f", 32)

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
		{"mbox:///a?after=delete-after:30d", URI{Kind: "mbox", Path: "/a", After: AfterDelete, Delay: 30 * 24 * time.Hour}, "", "mbox:///a?after=delete-after:30d"},
		{"pop3+ssl://u@h?after=delete-after:048h", URI{Kind: "pop3", Security: "ssl", User: "u", Host: "h", After: AfterDelete, Delay: 48 * time.Hour}, "",
			"pop3+ssl://u@h?after=delete-after:2d"},
		{"pop3+tls://u@h?after=delete-after:36h", URI{Kind: "pop3", Security: "tls", User: "u", Host: "h", After: AfterDelete, Delay: 36 * time.Hour}, "",
			"pop3+tls://u@h?after=delete-after:36h"},
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
		{"imap+exec:ssh me%40host  /usr/lib/dovecot/imap -o a%20b?folder=*",
			URI{Kind: "imap", Security: "exec", Command: []string{"ssh", "me@host", "/usr/lib/dovecot/imap", "-o", "a b"}, Folders: []string{"*"}, After: AfterKeep}, "",
			"imap+exec://ssh me%40host /usr/lib/dovecot/imap -o a%20b?folder=*"},
		{"imap+exec:///bin/imapd?search=UNSEEN", URI{Kind: "imap", Security: "exec", Command: []string{"/bin/imapd"}, After: AfterKeep, Search: "UNSEEN"}, "",
			"imap+exec:///bin/imapd?search=UNSEEN"},
		{"imap+tls://u@h?tls=insecure&since=4711&search=UNSEEN+FROM+%22ann%40example.com%22&after=seen&folder=A&auth=plain&folder=B",
			URI{Kind: "imap", Security: "tls", User: "u", Host: "h", After: AfterSeen, Folders: []string{"A", "B"},
				Verify: dial.Verify{Insecure: true}, Auth: "PLAIN", Search: `UNSEEN FROM "ann@example.com"`, SinceUID: 4711}, "",
			`imap+tls://u@h?folder=A&folder=B&after=seen&auth=PLAIN&search=UNSEEN%20FROM%20"ann%40example.com"&since=4711&tls=insecure`},
		{"imap+ssl://u@h?since=2026-01-31&ca=/etc/a.pem&certificate=/c&key=/k&" + pin + "&" + pin,
			URI{Kind: "imap", Security: "ssl", User: "u", Host: "h", After: AfterKeep, Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
				Verify: dial.Verify{CA: "/etc/a.pem", Certificate: "/c", Key: "/k", Pins: []string{pin[4:], pin[4:]}}}, "",
			"imap+ssl://u@h?ca=/etc/a.pem&certificate=/c&key=/k&" + pin + "&" + pin + "&since=2026-01-31"},
		{"office365://host?tls=insecure", URI{Kind: "office365", Host: "host", After: AfterKeep, Verify: dial.Verify{Insecure: true}}, "", "office365://host?tls=insecure"},
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
		"maildir:/home/bob/Mail?folder=x": "maildir URI with one slash, where there are three: write for example maildir:///home/bob/Mail?folder=x",
		"mbox:/ann:secret@host/mail":      "mbox URI without //: write for example mbox:///var/mail/ann",
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
		"mbox:///a?after=move":            "after=move: it is one of keep, delete, delete-after:30d, archive, seen",
		"mbox:///a?after=delete-after:":   "a number of days or hours, such as 30d or 12h",
		"mbox:///a?after=delete-after:0d": "a number of days or hours",
		"mbox:///a?after=delete-after:3":  "a number of days or hours",
		"mbox:///a?after=delete-after:-1d&folder=x": "a number of days or hours",
		"mbox:///a?after=delete-after:36501d":       "a number of days or hours",
		"imap://u:secret@h?folders=x":               `no parameter "folders"; there are after, archive, auth, ca, certificate, folder, key, pin, search, since and tls`,
		"pop3://u:secret@h?search=UNSEEN":           `no parameter "search"; there are after, archive, auth, ca, certificate, folder, key, pin and tls`,
		"imap+sll://u:secret@h":                     "there is no +sll: there are imap+ssl (TLS from the first byte), imap+tls (TLS by a command), imap (in clear), imap+exec (a program to speak to)",
		"office365+tls://u:secret@h":                "there is no +tls: there are office365+ssl (TLS from the first byte), office365 (TLS from the first byte)",
		"imap:u:secret@h":                           "imap URI without //",
		"imap+exec:":                                "there is no command: imap+exec:ssh",
		"imap+exec://?folder=x":                     "there is no command",
		"imap+exec:a%":                              "the command has a %",
		"imap+exec:a%00":                            "the command has a NUL",
		"imap+exec:a?ca=/a":                         "ca= is for TLS: write imap+ssl or imap+tls",
		"imap://h?tls=insecure":                     "tls= is for TLS",
		"imap+ssl://h?tls=maybe":                    "tls=maybe: it is insecure, or left out",
		"imap+ssl://h?ca=ca.pem":                    `file "ca.pem" is not an absolute path`,
		"imap+ssl://h?pin=sha256:00":                "64 hexadecimal digits",
		"imap+ssl://h?tls=insecure&ca=/a":           "contradict each other",
		"imap+ssl://h?key=/a":                       "key= is that of certificate=",
		"imap://h?since=yesterday":                  "since=yesterday: it is a UID such as 4711, or a day such as 2026-01-31",
		"imap://h?since=0":                          "since=0: it is a UID",
		"imap://h?since=4294967296":                 "it is a UID",
		"imap://h?search=A&search=B":                "parameter search is there twice",
		"pop3://u:secret@h?after=seen":              "after=seen is not possible with POP3, which can only keep mail or delete it: IMAP can",
		"pop3://u:secret@h?archive=Done":            "after=archive is not possible with POP3",
		"mbox:///a?after=keep&after=":               "parameter after is empty",
		"mbox:///a?after=seen&after=seen":           "parameter after is there twice",
		"mbox:///a?after=archive":                   "after=archive needs a folder",
		"mbox:///a?archive=D&after=keep":            "archive= and after=keep contradict",
		"mbox:///a?folder=%ff":                      "parameter folder is empty or no text",
		"mbox:///a?folder=%f":                       "parameter folder has a %",
		"imap://u:secret@":                          "there is no server",
		"imap://u:secret@h:0":                       "the port is no number between 1 and 65535",
		"imap://u:secret":                           "the port is no number",
		"imap://u:se/cret@h":                        "imap URI with an @ after the server: in user and password write @ as %40, / as %2F, ? as %3F",
		"imap://u:se?cret@h":                        "with an @ after the server",
		"imap://u:p@h/INBOX":                        "a folder is ?folder=NAME",
		"imap://u%:p@h":                             "the user has a %",
		"imap://u:secret%@h":                        "the password has a %",
		"imap://u:p@h h":                            "the server's name has a character",
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
