package pop3_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/poller"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
	"mailrow/store/source"
)

// oddServer has a maildrop whose unique-ids are whatever a test wants.
type oddServer struct {
	mu      sync.Mutex
	mails   []named
	fetched int
	read    func(string) string // what is made of a mail that was read; nil: nothing
	most    int                 // mails that it gives in a session before it hangs up; 0: all
}

type named struct{ id, text string }

// start serves until the test ends.
func (o *oddServer) start(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer conn.Close()
				o.session(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		sessions.Wait()
	})
	return l.Addr().String()
}

func (o *oddServer) session(conn net.Conn) {
	o.mu.Lock()
	mails := append([]named(nil), o.mails...)
	o.mu.Unlock()
	gone, given := map[string]bool{}, 0
	fmt.Fprint(conn, "+OK\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var n int
		command, _, _ := strings.Cut(lines.Text(), " ")
		_, _ = fmt.Sscanf(lines.Text(), command+" %d", &n)
		answer := "+OK\r\n"
		switch command {
		case "CAPA":
			answer += "USER\r\nUIDL\r\n.\r\n"
		case "LIST":
			for i, m := range mails {
				answer += fmt.Sprintf("%d %d\r\n", i+1, len(m.text))
			}
			answer += ".\r\n"
		case "UIDL":
			for i, m := range mails {
				answer += fmt.Sprintf("%d %s\r\n", i+1, m.id)
			}
			answer += ".\r\n"
		case "RETR":
			if given++; given == o.most+1 && o.most > 0 {
				return
			}
			answer += o.retrieve(mails[n-1]) + ".\r\n"
		case "DELE":
			gone[mails[n-1].id] = true
		case "QUIT":
			o.remove(gone)
		}
		fmt.Fprint(conn, answer)
		if command == "QUIT" {
			return
		}
	}
}

func (o *oddServer) retrieve(m named) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetched++
	for i := range o.mails {
		if o.read != nil && o.mails[i] == m {
			o.mails[i].text = o.read(m.text)
		}
	}
	return m.text
}

func (o *oddServer) remove(gone map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var left []named
	for _, m := range o.mails {
		if !gone[m.id] {
			left = append(left, m)
		}
	}
	o.mails = left
}

// holds makes the maildrop these mails, and forgets how many were fetched.
func (o *oddServer) holds(mails ...named) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails, o.fetched = mails, 0
}

// An id may be of another mail than before: RFC 1939 forbids it, and there are servers
// that count their mails anew, or name them by what several have. Nothing is removed
// that is not stored, and nothing is stored twice.
func TestIDsOfOtherMails(t *testing.T) {
	text := func(subject string) string { return "Subject: " + subject + "\r\n\r\ntext\r\n" }
	a, b, c, longer := text("a"), text("b"), text("c"), text("longer")
	const month = `update mailrow.source_messages set changed_at = changed_at - interval '31 days'`
	const crash = `update mailrow.source_messages set state = 'stored', done = null`
	type step struct {
		holds   []named
		after   string
		sql     string // run before
		want    []string
		left    int
		fetched int
	}
	dsn := deliverytest.Database(t)
	for _, test := range []struct {
		name  string
		read  func(string) string
		steps []step
	}{
		{"another mail has the id when all is to be removed", nil, []step{
			{holds: []named{{"x", a}}, after: "keep", want: []string{a}, left: 1, fetched: 1},
			{holds: []named{{"x", b}}, after: "delete", want: []string{a, b}, fetched: 2},
		}},
		{"an id that was repeated", nil, []step{
			{holds: []named{{"x", a}}, after: "delete-after:30d", want: []string{a}, left: 1, fetched: 1},
			{holds: []named{{"x", b}}, after: "delete-after:30d", sql: month, want: []string{a, b}, left: 1, fetched: 2},
			{after: "delete-after:30d", sql: month, want: []string{a, b}, fetched: 1},
		}},
		{"a crash before mail was removed", nil, []step{
			{holds: []named{{"1", a}, {"2", b}}, after: "keep", want: []string{a, b}, left: 2, fetched: 2},
			{holds: []named{{"1", b}, {"2", c}}, after: "delete", sql: crash, want: []string{a, b, c}, fetched: 4},
		}},
		{"numbers for ids, and mail is kept", nil, []step{
			{holds: []named{{"1", a}, {"2", b}}, after: "keep", want: []string{a, b}, left: 2, fetched: 2},
			{holds: []named{{"1", b}, {"2", longer}}, after: "keep", want: []string{a, b, longer}, left: 2, fetched: 1},
			{after: "keep", want: []string{a, b, longer}, left: 2},
		}},
		{"other ids with each session", nil, []step{
			{holds: []named{{"s1.1", a}, {"s1.2", b}}, after: "keep", want: []string{a, b}, left: 2, fetched: 2},
			{holds: []named{{"s2.1", a}, {"s2.2", b}}, after: "keep", want: []string{a, b}, left: 2, fetched: 2},
			{holds: []named{{"s3.1", a}, {"s3.2", b}}, after: "delete", want: []string{a, b}, fetched: 2},
		}},
		{"a server that notes what was read", func(text string) string {
			return strings.Replace("Status: RO\r\n"+text, "Status: RO\r\nStatus: RO\r\n", "Status: RO\r\n", 1)
		}, []step{
			{holds: []named{{"x", a}}, after: "keep", want: []string{a}, left: 1, fetched: 1},
			{after: "keep", want: []string{a}, left: 1, fetched: 1}, // it has another size
			{after: "keep", want: []string{a}, left: 1},
			{after: "delete", want: []string{a}, fetched: 1},
		}},
		{"a server that changes mail at each look", func(text string) string {
			const letters = "abcdefgh"
			at := len("Subject: ")
			return text[:at] + string(letters[strings.IndexByte(letters, text[at])+1]) + text[at+1:]
		}, []step{
			{holds: []named{{"x", a}}, after: "keep", want: []string{a}, left: 1, fetched: 1},
			{after: "delete", want: []string{a, c}, fetched: 2},
		}},
		{"as it should be", nil, []step{
			{holds: []named{{"x", a}, {"y", b}}, after: "delete", want: []string{a, b}, fetched: 2},
			{holds: []named{{"z", c}}, after: "delete-after:30d", want: []string{a, b, c}, left: 1, fetched: 1},
			{after: "delete-after:30d", want: []string{a, b, c}, left: 1},
			{after: "delete-after:30d", sql: month, want: []string{a, b, c}, fetched: 1},
		}},
		{"deleted here meanwhile", nil, []step{
			{holds: []named{{"x", a}}, after: "delete-after:30d", want: []string{a}, left: 1, fetched: 1},
			{after: "delete-after:30d", sql: month + `; select mailrow.delete_mail(id) from mailrow.mail`, fetched: 1},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &oddServer{read: test.read}
			addr := server.start(t)
			p := pollertest.NewPolled(t, dsn, "pop3://u1@127.0.0.1", func(ctx context.Context) (poller.Source, error) {
				return pop3.Open(ctx, at(t, addr))
			})
			p.Poller.Warn = func(_ source.Source, err error) {
				var other *poller.OtherMailError
				if !errors.As(err, &other) {
					t.Error(err)
				}
			}
			for i, step := range test.steps {
				if step.holds != nil {
					server.holds(step.holds...)
				} else {
					server.holds(server.mails...)
				}
				if step.sql != "" {
					if _, err := p.Conn.Exec(t.Context(), step.sql); err != nil {
						t.Fatal(err)
					}
				}
				p.Poll(t, "?after="+step.after)
				if diff := cmp.Diff(step.want, p.Stored(t, `convert_from(mailrow.raw(id), 'UTF8')`)); diff != "" {
					t.Errorf("step %d: stored: %s", i+1, diff)
				}
				if len(server.mails) != step.left || server.fetched != step.fetched {
					t.Errorf("step %d: %d mails are left, want %d; %d were fetched, want %d", i+1, len(server.mails), step.left, server.fetched, step.fetched)
				}
			}
		})
	}
}

// A server that gives only so many mails in a session before it hangs up is emptied all
// the same, though mails that were stored in one session are read again in another.
func TestRemovingInShortSessions(t *testing.T) {
	server := &oddServer{most: 5}
	addr := server.start(t)
	p := pollertest.NewPolled(t, deliverytest.Database(t), "pop3://u1@127.0.0.1", func(ctx context.Context) (poller.Source, error) {
		return pop3.Open(ctx, at(t, addr))
	})
	p.Poller.Warn = func(_ source.Source, err error) {
		if !strings.Contains(err.Error(), "going on") {
			t.Error(err)
		}
	}
	const mails = 23
	var all []named
	for n := range mails {
		all = append(all, named{fmt.Sprint(n), fmt.Sprintf("Subject: %d\r\n\r\ntext\r\n", n)})
	}
	server.holds(all...)
	p.Poll(t, "?after=delete")
	if stored := p.Stored(t, "subject"); len(stored) != mails || len(server.mails) != 0 {
		t.Errorf("%d mails are stored, %d are left", len(stored), len(server.mails))
	}
}
