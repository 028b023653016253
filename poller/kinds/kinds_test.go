package kinds_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/dovecottest"
	"mailrow/internal/pgtest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
	"mailrow/poller/sasl"
	"mailrow/store/source"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestKinds(t *testing.T) {
	open := func(ctx context.Context, u poller.URI) (poller.Source, error) {
		return kinds.Opener{}.Open(ctx, source.Source{}, u)
	}
	for name, kind := range map[string]pollertest.Kind{
		"maildir": {Box: pollertest.Maildir, Folders: true, Many: 100_000},
		"mh":      {Box: pollertest.MH, Folders: true, Many: 100_000},
		"mbox":    {Box: pollertest.Mbox, Many: 100_000},
		"mmdf":    {Box: pollertest.MMDF, Many: 100_000},
		"babyl":   {Box: pollertest.Babyl, Many: 100_000},
	} {
		t.Run(name, func(t *testing.T) { pollertest.Run(t, kind, open) })
	}
}

// warnings are what was said of connections.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) add(_ source.Source, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, err.Error())
}

// opener logs in with the password that every user of the server has.
func opener(warn func(source.Source, error)) kinds.Opener {
	return kinds.Opener{
		Credentials: func(_ context.Context, s source.Source) (sasl.Credentials, error) {
			u, err := poller.ParseURI(s.URI)
			password := func(context.Context) (sasl.Secret, error) { return sasl.NewSecret(dovecottest.Password), nil }
			return sasl.Credentials{User: u.User, Password: password}, err
		},
		Warn: warn,
	}
}

var user = url.PathEscape(dovecottest.User)

// What a URI says of a server is what is done.
func TestServers(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", []byte("Subject: one\r\n\r\n"), []byte("Subject: two\r\n\r\n"))
	pin := dial.Pin(s.Certificate(t))
	const another = "pin=sha256:0000000000000000000000000000000000000000000000000000000000000000"
	clear, untrusted := "over a connection in clear: whoever listens can guess the password", ", or, if this is the right server, pin="+pin
	for _, test := range []struct{ uri, err, warned string }{
		{"imap://IMAP", "", clear},
		{"imap://IMAP?auth=plain", "", "the password goes over the network in clear"},
		{"imap+ssl://IMAPS", "name the authority's file with ca=FILE" + untrusted, ""},
		{"imap+tls://IMAP", "ca=FILE" + untrusted, ""},
		{"imap+ssl://IMAPS?ca=" + s.CA(), "", ""},
		{"imap+tls://IMAP?pin=" + pin, "", ""},
		{"imap+ssl://IMAPS?" + another, "change pin=", ""},
		{"imap+tls://IMAP?tls=insecure", "", "whoever answers there can read the password"},
		{"imap+ssl://IMAPS?ca=/nowhere", "read authorities for 127.0.0.1", ""},
		{"imap+ssl://IMAPS?auth=cram-md5&ca=" + s.CA(), "", "CRAM-MD5"},
		{"imap+ssl://IMAPS?auth=ntlm&ca=" + s.CA(), `there is no mechanism "NTLM" here`, ""},
		{"gmail+ssl://IMAPS?ca=" + s.CA(), "", ""},
		{"office365://IMAPS?ca=" + s.CA(), "", ""},
		{"imap+exec:" + strings.Join(s.Command(dovecottest.User), " "), "", ""},
		{"imap+exec:/nowhere/imapd", "must be a program on this machine", ""},
		{"pop3://POP3", "", clear},
		{"pop3+ssl://POP3S", "ca=FILE" + untrusted, ""},
		{"pop3+ssl://POP3S?ca=" + s.CA(), "", ""},
		{"pop3+tls://POP3?pin=" + pin, "", ""},
		{"pop3+tls://POP3?tls=insecure", "", "whoever answers there can read the password"},
	} {
		for name, address := range map[string]string{"IMAP": s.IMAP, "IMAPS": s.IMAPS, "POP3": s.POP3, "POP3S": s.POP3S} {
			before, after, _ := strings.Cut(test.uri, "?")
			if test.uri = strings.TrimSuffix(before, "//"+name); test.uri != before {
				test.uri += "//" + user + "@" + address
			}
			if after != "" {
				test.uri += "?" + after
			}
		}
		u, err := poller.ParseURI(test.uri)
		if err != nil {
			t.Fatal(err)
		}
		var warned warnings
		found, err := probe(t, opener(warned.add), u)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v: %v, want %q", u, err, test.err)
			}
		} else if diff := cmp.Diff([]poller.Found{{Folder: "INBOX", Mails: 2, Bytes: 32}}, found); diff != "" || err != nil {
			t.Errorf("%v: %v %s", u, err, diff)
		}
		if said := strings.Join(warned.text, "; "); (said == "") != (test.warned == "") || !strings.Contains(said, test.warned) {
			t.Errorf("%v: warned of %q, want %q", u, said, test.warned)
		}
	}
}

func probe(t *testing.T, o kinds.Opener, u poller.URI) ([]poller.Found, error) {
	opened, err := o.Open(t.Context(), source.Source{URI: u.String()}, u)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return poller.Probe(t.Context(), opened, u)
}

// Which mail is meant.
func TestSearchAndSince(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	for _, subject := range []string{"one", "two", "three"} {
		s.Append(t, dovecottest.User, "INBOX", []byte("Subject: "+subject+"\r\n\r\n"))
	}
	for query, want := range map[string]int64{
		"":                          3,
		"?search=SUBJECT+%22two%22": 1,
		"?since=2":                  2,
		"?since=4":                  0,
		"?since=2100-01-01":         0,
		"?since=2020-01-01":         3,
		"?search=SUBJECT+t&since=3": 1,
	} {
		u, err := poller.ParseURI("imap://" + user + "@" + s.IMAP + query)
		if err != nil {
			t.Fatal(err)
		}
		found, err := probe(t, opener(nil), u)
		if err != nil || len(found) != 1 || found[0].Mails != want {
			t.Errorf("%s: %+v, %v, want %d", query, found, err, want)
		}
	}
}
