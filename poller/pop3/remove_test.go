package pop3_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailrow/internal/scripttest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/pop3/client"
)

func TestRemovingFromOddServers(t *testing.T) {
	const (
		dele  = "C: = DELE 1\nS: +OK\nC: = DELE 2\nS: +OK\nC: = QUIT\n"
		empty = login + "C: = LIST\nS: +OK\nS: .\nC: = UIDL\nS: +OK\nS: .\n" + over
		one   = login + "C: = LIST\nS: +OK\nS: 1 7\nS: .\nC: = UIDL\nS: +OK\nS: 1 b\nS: .\n" + over
	)
	read := two + retrieved("mail1", "mail2") // what each session begins with
	for _, test := range []struct {
		name    string
		scripts []string
		want    string // in the error; "": it works
		broken  bool
	}{
		{"as it should be", []string{read + dele + "S: +OK bye\nclose\n"}, "", false},
		{"QUIT is not answered", []string{read + dele + "close\n"}, "has not said whether it is gone", true},
		{"QUIT is answered too late", []string{read + dele + "silence\n"}, "has not said whether it is gone", true},
		{"QUIT is refused", []string{read + dele + "S: -ERR some messages not removed\nclose\n", one}, "1 of 2 mails are still there: QUIT: -ERR some messages", false},
		{"QUIT is refused, and all is gone", []string{read + dele + "S: -ERR some messages not removed\nclose\n", empty}, "", false},
		{"a refusal", []string{read + "C: = DELE 1\nS: +OK\nC: = DELE 2\nS: -ERR [SYS/PERM] read only\n" + over, one}, "1 of 2 mails are still there: DELE 2: -ERR [SYS/PERM] read only: the server has trouble that does not pass by itself", false},
		{"somebody was faster", []string{read + "C: = DELE 1\nS: -ERR gone\nC: = DELE 2\nS: +OK\n" + over, empty}, "", false},
		{"cut at DELE", []string{read + "C: = DELE 1\nS: +OK\nC: = DELE 2\nclose\n", read + dele + "S: +OK\n"}, "", false},
		{"cut at DELE twice", []string{read + "C: = DELE 1\nS: +OK\nC: = DELE 2\nclose\n", read + "C: = DELE 1\nclose\n"}, "the connection is lost", true},
		{"cut while it is compared", []string{read + "C: = DELE 1\nclose\n", two + "C: = RETR 1\nS: +OK\nS: mai\nclose\n"}, "the connection is lost", true},
		{"an answer too many", []string{read + "C: = DELE 1\nS> +OK\\r\\n+OK and another\\r\\n\nsilence\n", read + "C: = DELE 1\nS> +OK\\r\\n+OK and another\\r\\n\nsilence\n"}, "speaks without being asked: +OK and another", true},
		{"told before that it is over", []string{read + "S: -ERR idle for too long\nclose\n", read + dele + "S: +OK\n"}, "", false},
		{"an answer that is none", []string{read + "C: = DELE 1\nS: deleted\nsilence\n", read + "C: = DELE 1\nS: deleted\nsilence\n"}, "neither +OK nor -ERR", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := scripttest.Start(t, nil, test.scripts...)
			conf := at(t, s.Addr())
			conf.Server.Timeouts = dial.Timeouts{Read: 500 * time.Millisecond}
			src := open(t, conf)
			f := folder(t, src)
			entries := stored(t, f)
			time.Sleep(20 * time.Millisecond) // for what comes without being asked
			err := f.Remove(t.Context(), entries)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("remove: %v", err)
			}
			var broken *poller.BrokenError
			if errors.As(err, &broken) != test.broken {
				t.Errorf("broken is not %v: %v", test.broken, err)
			}
			var refused *client.RefusedError
			if err != nil && !test.broken && !errors.As(err, &refused) {
				t.Errorf("no refusal: %v", err)
			}
			if got := s.Connections(); got != len(test.scripts) {
				t.Errorf("%d connections, want %d", got, len(test.scripts))
			}
			src.Close()
		})
	}
}

// Numbers are those of one session: in another the mails are looked for.
func TestRemovingInAnotherSession(t *testing.T) {
	noUIDL := strings.Replace(login, "S: UIDL\n", "", 1)
	listing := func(ids ...string) string {
		var sizes, uidl string
		for i, id := range ids {
			sizes += fmt.Sprintf("S: %d 7\n", i+1)
			uidl += fmt.Sprintf("S: %d %s\n", i+1, id)
		}
		return login + "C: = LIST\nS: +OK\n" + sizes + "S: .\nC: = UIDL\nS: +OK\n" + uidl + "S: .\n"
	}
	nameless := func(texts ...string) string {
		script := noUIDL + "C: = LIST\nS: +OK\n"
		for i := range texts {
			script += fmt.Sprintf("S: %d 7\n", i+1)
		}
		return script + "S: .\nC: = UIDL\nS: -ERR\n" + retrieved(texts...)
	}
	for _, test := range []struct {
		name          string
		first, second string
		want          string
	}{
		{"others came and went", listing("a", "b") + retrieved("one", "two"), listing("x", "b", "y", "a") + retrieve(2, "two") + retrieve(4, "one") + "C: = DELE 2\nS: +OK\nC: = DELE 4\nS: +OK\n" + over, ""},
		{"all gone", listing("a", "b") + retrieved("one", "two"), listing("x", "y") + over, ""},
		{"the id is another's, too", listing("a", "b") + retrieved("one", "two"), listing("b", "a", "b") + over, "has given this unique-id to another mail"},
		{"the id is another's", listing("a", "b") + retrieved("one", "two"), listing("b", "a") + retrieve(1, "two") + retrieve(2, "other") + "C: = DELE 1\nS: +OK\n" + over, `the first of which is "a"`},
		{"repeated ids", listing("x", "x") + retrieved("one", "two") + retrieved("one", "two"), listing("y", "x", "x") + retrieve(2, "three") + retrieve(3, "two") + "C: = DELE 3\nS: +OK\n" + over, ""},
		{"an id that is repeated no more", listing("x", "x") + retrieved("one", "two") + retrieved("one", "two"), listing("x") + retrieved("two") + "C: = DELE 1\nS: +OK\n" + over, ""},
		{"no ids", nameless("one", "two") + retrieved("one", "two"), nameless("three", "two", "four", "one") + "C: = DELE 2\nS: +OK\nC: = DELE 4\nS: +OK\n" + over, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := scripttest.Start(t, nil, test.first+"S: -ERR too slow\nclose\n", test.second)
			src := open(t, at(t, s.Addr()))
			f := folder(t, src)
			entries := stored(t, f)
			time.Sleep(20 * time.Millisecond)
			err := f.Remove(t.Context(), entries)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("remove: %v", err)
			}
			src.Close()
		})
	}
}

// retrieve fetches a mail of one line.
func retrieve(number int, text string) string {
	return fmt.Sprintf("C: = RETR %d\nS: +OK\nS: %s\nS: .\n", number, text)
}

// retrieved fetches mails of one line, first to last.
func retrieved(texts ...string) (script string) {
	for i, text := range texts {
		script += retrieve(i+1, text)
	}
	return script
}
