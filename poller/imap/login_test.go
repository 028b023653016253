package imap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
	"mailrow/poller/pollertest"
	"mailrow/poller/sasl"
)

func TestLogin(t *testing.T) {
	pollertest.Login(t, pollertest.Protocol{
		Clear:    func(s *dovecottest.Server) string { return s.IMAP },
		TLS:      func(s *dovecottest.Server) string { return s.IMAPS },
		StartTLS: "STARTTLS",
		Auth:     "AUTHENTICATE",
		Open: func(ctx context.Context, server dial.Server, who sasl.Credentials) (poller.Source, error) {
			return imap.Open(ctx, imap.Config{Server: server, Credentials: who})
		},
	})
}

func TestServerOnAPipe(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(50)...)
	conf := imap.Config{Server: dial.Server{Host: "a program", Command: s.Command(dovecottest.User)}}
	src := open(t, conf)
	f := folder(t, src, "INBOX")
	entries, _ := list(t, f, "")
	for i, e := range entries {
		if got := read(t, f, e); got != string(mail(i)) {
			t.Errorf("mail %d is %.80q", i, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	conf.Server.Command = []string{"/bin/sh", "-c", "echo no such host >&2; exit 255"}
	if _, err := imap.Open(t.Context(), conf); err == nil || !strings.Contains(err.Error(), "exit status 255 (no such host)") {
		t.Errorf("a program that fails: %v", err)
	}
	conf.Server.Command = []string{"/nonexistent"}
	if _, err := imap.Open(t.Context(), conf); err == nil {
		t.Error("a program that is not there")
	}
}

func TestUTF7(t *testing.T) {
	for name, wire := range map[string]string{
		"INBOX": "INBOX", "Entwürfe": "Entw&APw-rfe", "A & B": "A &- B", "日本語": "&ZeVnLIqe-",
		"😀/x": "&2D3eAA-/x", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "&": "&-", "": "",
		"ü&ü": "&APw-&-&APw-",
	} {
		if got := client.EncodeUTF7(name); got != wire {
			t.Errorf("%q is %q, want %q", name, got, wire)
		}
		if got := client.DecodeUTF7(wire); got != name {
			t.Errorf("%q is %q, want %q", wire, got, name)
		}
	}
	for _, none := range []string{"a&b", "&AA-", "&!!-", "Entwürfe", "&2D0-"} {
		if got := client.DecodeUTF7(none); got != none {
			t.Errorf("%q becomes %q", none, got)
		}
	}
}

func TestSet(t *testing.T) {
	if got := client.Set([]uint32{7, 1, 2, 3, 9, 8, 3, 4294967295}); got != "1:3,7:9,4294967295" {
		t.Error(got)
	}
	r := client.ParseSet("9:7,1,2,5,x,3:")
	if r.String() != "1:2,5,7:9" || r.Count() != 6 || !r.Contains(8) || r.Contains(6) {
		t.Errorf("%v", r)
	}
	var all []string
	for piece := range r.Pieces(2) {
		all = append(all, piece.String())
	}
	if !slices.Equal(all, []string{"1:2", "5,7", "8:9"}) {
		t.Errorf("%q", all)
	}
}
