package kinds_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// poisoned passes connections to a server, and cuts those that a mail with a
// certain word goes over: a filter on the way, or a server that dies of it. What comes
// together with the mail is lost too.
func poisoned(t *testing.T, target, word string) (addr string, cuts *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cuts = new(atomic.Int64)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client) // its end is the client's
				server.Close()
			}()
			go func() {
				defer client.Close()
				defer server.Close()
				b := make([]byte, 64<<10)
				for {
					n, err := together(server, b)
					if bytes.Contains(b[:n], []byte(word)) {
						cuts.Add(1)
						return
					}
					if _, err := client.Write(b[:n]); err != nil {
						return
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), cuts
}

// together reads what a server sends until it is quiet for a moment.
func together(server net.Conn, b []byte) (n int, err error) {
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	for n < len(b) {
		var more int
		more, err = server.Read(b[n:])
		n += more
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := server.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// A mail at which the connection always breaks is given up in the end, and keeps no
// other from coming: neither those that were asked for together with it.
func TestMailThatBreaksTheConnection(t *testing.T) {
	for _, kind := range []string{"imap", "pop3"} {
		t.Run(kind, func(t *testing.T) {
			dsn := deliverytest.Database(t)
			conn := archivetest.Connect(t, dsn)
			s := dovecottest.Start(t, dovecottest.Config{})
			const others = 20
			for i := range others {
				if i == 1 || i == others/2 {
					s.Append(t, dovecottest.User, "INBOX", []byte("Subject: poison\r\n\r\nPOISON\r\n"))
				}
				s.Append(t, dovecottest.User, "INBOX", []byte("Subject: mail\r\n\r\n"+strings.Repeat("x", i)+"\r\n"))
			}
			target := map[string]string{"imap": s.IMAP, "pop3": s.POP3}[kind]
			addr, cuts := poisoned(t, target, "POISON")
			account := "ann"
			of := source.Source{URI: kind + "://" + user + "@" + addr + "?after=delete", Account: &account}
			var err error
			if of.ID, err = source.Add(t.Context(), conn, of); err != nil {
				t.Fatal(err)
			}
			p := poller.Poller{
				Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
				Open:    opener(nil).Open,
				Config:  deliver.DefaultConfig(),
				Warn:    func(_ source.Source, err error) { t.Log(err) },
			}
			for try := range 7 {
				count, err := p.Run(t.Context(), of)
				count.Seen, count.Bytes = 0, 0
				want := source.Count{Failed: 2}
				switch {
				case try == 0:
					want.Stored, want.Done = others, others
				case try > 4:
					want.Failed = 0
				}
				if diff := cmp.Diff(want, count); diff != "" || err != nil {
					t.Errorf("try %d: %v %s", try+1, err, diff)
				}
				if _, err := conn.Exec(t.Context(), `update mailrow.source_messages set retry_at = now() where retry_at is not null`); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([]string{"quarantined|5", "quarantined|5"}, deliverytest.Rows(t, dsn, `select state, tries from mailrow.source_messages where state <> 'done'`)); diff != "" {
				t.Error(diff)
			}
			if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 {
				t.Errorf("%d mails are left", len(left))
			}
			if n := cuts.Load(); n < 10 {
				t.Errorf("only %d connections were cut", n)
			}
		})
	}
}
