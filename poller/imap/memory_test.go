package imap_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/needs"
)

// serveMany plays a folder of so many mails, which have not to be anywhere, and counts
// commands.
func serveMany(t *testing.T, many int) (addr string, commands *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	commands = new(atomic.Int64)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r, w := bufio.NewReader(conn), bufio.NewWriterSize(conn, 1<<16)
		fmt.Fprint(w, "* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n")
		for w.Flush() == nil {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			commands.Add(1)
			tag, command, _ := strings.Cut(line, " ")
			var first, last int
			switch n, _ := fmt.Sscanf(command, "FETCH %d:%d", &first, &last); {
			case n == 2:
				for seq := first; seq <= last; seq++ {
					fmt.Fprintf(w, "* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"01-May-2026 10:00:00 +0000\" RFC822.SIZE 5000)\r\n", seq, seq+7)
				}
			case strings.HasPrefix(command, "EXAMINE"):
				fmt.Fprintf(w, "* %d EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT %d] n\r\n", many, many+8)
			}
			fmt.Fprintf(w, "%s OK\r\n", tag)
		}
	}()
	return l.Addr().String(), commands
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryDoesNotGrowWithTheFolder(t *testing.T) {
	many := needs.Times(300_000, 1_000_000)
	addr, _ := serveMany(t, many)
	f := folder(t, open(t, at(t, addr)), "INBOX")
	l, err := f.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var early, most int64
	for _, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		// By then as many are remembered to be opened as ever are.
		if n++; n == 70_000 {
			early = heap()
		} else if n%70_000 == 0 {
			most = max(most, heap())
		}
	}
	if n != many {
		t.Errorf("%d of %d mails", n, many)
	}
	if most > early+2<<20 {
		t.Errorf("%d bytes of heap, and %d at the beginning", most, early)
	}
	t.Logf("%d bytes of heap, and %d at the beginning", most, early)
}

// However many mails there are, an unchanged folder costs as many round trips.
func TestUnchangedFolderCostsTheSame(t *testing.T) {
	cost := func(many int) (all []int64) {
		addr, commands := serveMany(t, many)
		src := open(t, at(t, addr))
		_, l := list(t, folder(t, src, "INBOX"), "")
		for range 3 {
			before := commands.Load()
			entries, again := list(t, folder(t, src, "INBOX"), l.Revision)
			if len(entries) != 0 || again.Revision != l.Revision {
				t.Errorf("%d of %d mails, revision %q and then %q", len(entries), many, l.Revision, again.Revision)
			}
			all = append(all, commands.Load()-before)
		}
		return all
	}
	few, many := cost(100), cost(100_000)
	t.Logf("commands: %v at 100 mails, %v at 100,000", few, many)
	if diff := cmp.Diff(few, many); diff != "" || few[0] > 1 {
		t.Errorf("commands: %s", diff)
	}
}
