package imap_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
)

// serveMany plays a folder of so many mails, which have not to be anywhere.
func serveMany(t *testing.T, many int) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
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
	return l.Addr().String()
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryDoesNotGrowWithTheFolder(t *testing.T) {
	const many = 300_000
	f := folder(t, open(t, at(t, serveMany(t, many))), "INBOX")
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
