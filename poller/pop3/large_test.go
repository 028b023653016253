package pop3_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailrow/internal/needs"
)

// largeServer has so many mails, and answers each connection.
func largeServer(t *testing.T, mails int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveLarge(conn, mails)
		}
	}()
	return l.Addr().String()
}

func serveLarge(conn net.Conn, mails int) {
	defer conn.Close()
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	fmt.Fprint(w, "+OK ready\r\n")
	for w.Flush() == nil {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(w, "+OK\r\n")
		switch command, _, _ := strings.Cut(strings.TrimSpace(line), " "); command {
		case "CAPA":
			fmt.Fprint(w, "USER\r\nUIDL\r\nPIPELINING\r\n.\r\n")
		case "LIST":
			for n := range mails {
				fmt.Fprintf(w, "%d %d\r\n", n+1, 1000+n%50_000)
			}
			fmt.Fprint(w, ".\r\n")
		case "UIDL":
			for n := range mails {
				fmt.Fprintf(w, "%d %016x%08x\r\n", n+1, n, 0xdeadbeef)
			}
			fmt.Fprint(w, ".\r\n")
		case "RETR":
			fmt.Fprintf(w, "Subject: x\r\n\r\n%s.\r\n", strings.Repeat("0123456789\r\n", 100))
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A mailbox of a million mails takes some 60 MB while it is listed.
func TestManyMailsAreListed(t *testing.T) {
	n := needs.Times(100_000, 1_000_000)
	f := folder(t, open(t, at(t, largeServer(t, n))))
	before, start := heap(), time.Now()
	l, err := f.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	taken := heap() - before
	count := 0
	for e, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == n {
			if raw := read(t, f, e); len(raw) != 1214 || e.ID != fmt.Sprintf("%016x%08x", n-1, 0xdeadbeef) || e.Size != int64(1000+(n-1)%50_000) {
				t.Errorf("the last one is %+v, of %d bytes", e, len(raw))
			}
		}
	}
	if count != n {
		t.Errorf("%d entries", count)
	}
	t.Logf("%d mails in %v, %d MiB", n, took.Round(time.Millisecond), taken>>20)
	if most := int64(n)*70 + 1<<20; taken > most {
		t.Errorf("the listing takes %d bytes, more than %d", taken, most)
	}
	runtime.KeepAlive(l)
}

// A mail is never in memory as a whole.
func TestLargeMailTakesNoMemory(t *testing.T) {
	const size = 200 << 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		answers := map[string]string{"LIST": "1 1000\r\n.\r\n", "UIDL": "1 x\r\n.\r\n", "CAPA": "USER\r\n.\r\n"}
		fmt.Fprint(conn, "+OK\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			command, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			fmt.Fprint(conn, "+OK\r\n"+answers[command])
			if command == "RETR" {
				block := []byte(strings.Repeat("..23456789abcdefghijklmnopqrstuvwxyz....\r\n", 1000))
				for range size/len(block) + 1 {
					if _, err := conn.Write(block); err != nil {
						return
					}
				}
				fmt.Fprint(conn, ".\r\n")
			}
		}
	}()
	f := folder(t, open(t, at(t, l.Addr().String())))
	entries := list(t, f)
	before, start := heap(), time.Now()
	r, err := f.Open(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	n, most := int64(0), int64(0)
	buffer := make([]byte, 64<<10)
	for i := 0; ; i++ {
		got, err := r.Read(buffer)
		n += int64(got)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%300 == 0 {
			most = max(most, heap()-before)
		}
	}
	took := time.Since(start)
	t.Logf("%d MB in %v (%d MB/s), %d KiB", n>>20, took.Round(time.Millisecond), int64(float64(n)/took.Seconds())>>20, most>>10)
	if n < size*41/42-1000 || most > 1<<20 {
		t.Errorf("%d bytes, %d bytes of heap", n, most)
	}
}
