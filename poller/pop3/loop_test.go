package pop3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
)

// box is INBOX of a server, whose bytes end lines with LF here as those of all
// other kinds do.
type box struct {
	s *dovecottest.Server
}

// URI leaves out the port, which is not at its end.
func (b box) URI() string {
	return (&url.URL{Scheme: "pop3", User: url.User(dovecottest.User), Host: "127.0.0.1"}).String()
}

func (b box) Add(t testing.TB, mails ...[]byte) {
	t.Helper()
	var sent [][]byte
	for _, mail := range mails {
		sent = append(sent, bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")))
	}
	b.s.Append(t, dovecottest.User, "INBOX", sent...)
}

func (b box) Remove(t testing.TB, mail []byte) {
	t.Helper()
	for _, m := range b.s.Mails(t, dovecottest.User, "INBOX") {
		if bytes.Equal(lines(m.Raw), mail) {
			x := b.s.Session(t, dovecottest.User)
			x.Do("SELECT INBOX")
			x.Do(fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, m.UID))
			x.Do(fmt.Sprintf("UID EXPUNGE %d", m.UID))
			return
		}
	}
	t.Fatalf("no mail to remove: %q", mail)
}

func (b box) Mails(t testing.TB) (all [][]byte) {
	t.Helper()
	for _, m := range b.s.Mails(t, dovecottest.User, "INBOX") {
		all = append(all, lines(m.Raw))
	}
	return all
}

func lines(raw []byte) []byte { return bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")) }

type linesSource struct{ *pop3.Source }

func (s linesSource) Folder(ctx context.Context, name string) (poller.Folder, error) {
	f, err := s.Source.Folder(ctx, name)
	if err != nil {
		return nil, err
	}
	return linesFolder{f.(*pop3.Folder)}, nil
}

type linesFolder struct{ *pop3.Folder }

// List knows no sizes: they count CRLF.
func (f linesFolder) List(ctx context.Context, since string) (*poller.Listing, error) {
	l, err := f.Folder.List(ctx, since)
	if err != nil {
		return nil, err
	}
	entries := l.Entries
	l.Entries = func(yield func(poller.Entry, error) bool) {
		for e, err := range entries {
			e.Size = -1
			if !yield(e, err) {
				return
			}
		}
	}
	return l, nil
}

func (f linesFolder) Open(ctx context.Context, e poller.Entry) (io.ReadCloser, error) {
	raw, err := tryRead(ctx, f.Folder, e)
	return io.NopCloser(bytes.NewReader(lines([]byte(raw)))), err
}

func TestLoop(t *testing.T) {
	var s *dovecottest.Server
	newBox := func(t testing.TB) pollertest.Box {
		s = dovecottest.Start(t, dovecottest.Config{})
		return box{s}
	}
	open := func(ctx context.Context, u poller.URI) (poller.Source, error) {
		conf := at(t, s.POP3)
		conf.Server.Host = u.Host
		s, err := pop3.Open(ctx, conf)
		if err != nil {
			return nil, err
		}
		return linesSource{s}, nil
	}
	pollertest.Run(t, pollertest.Kind{Box: newBox, Bare: true, Many: 2000}, open)
}
