package load_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/store"
	"mailrow/store/load"
)

const largeMails, largeMail = 8, 50 << 20

// loadLargeMails is what a child does whose memory is measured: it reads one mail
// after the other, as an import does.
func loadLargeMails(dsn string) int {
	debug.SetMemoryLimit(load.MemoryLimit)
	ctx := context.Background()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return fail(err)
	}
	l, err := load.Open(ctx, config, load.Options{Done: func(r load.Result) {
		if r.Err != nil {
			fail(r.Err)
		}
	}})
	if err != nil {
		return fail(err)
	}
	add := func(n int, raw []byte) error { return l.Add(ctx, delivery(n, raw)) }
	for n := range largeMails {
		if err := add(n, large(n)); err != nil {
			return fail(err)
		}
		for i := range 2000 {
			if err := add(i, fmt.Appendf(nil, "Subject: %d.%d\n\n%s\n", n, i, strings.Repeat("small ", 1000))); err != nil {
				return fail(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		return fail(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fail(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(strings.TrimSpace(peak), " ")
	fmt.Print(peak)
	return 0
}

// large is a mail of 50 MB, in turn one attachment and one text.
func large(n int) []byte {
	b := bytes.NewBuffer(make([]byte, 0, largeMail+1<<10))
	fmt.Fprintf(b, "Subject: large %d\nMessage-ID: <%d@example.org>\n", n, n)
	if n%2 == 1 {
		b.WriteString("Content-Type: text/plain; charset=iso-8859-2\n\n")
		for b.Len() < largeMail {
			b.WriteString("a line of text with \xe8 in it\n")
		}
		return b.Bytes()
	}
	b.WriteString("Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n")
	numbers := rand.New(rand.NewPCG(uint64(n), 1))
	var line [57]byte
	for b.Len() < largeMail {
		for i := range line {
			line[i] = byte(numbers.Uint32())
		}
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), line[:]))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Mails of 50 MB take no more memory than the room that there is for mail.
func TestMemoryIsBounded(t *testing.T) {
	if needs.Times(0, 1) == 0 {
		t.Skip("stores 500 MB: with MAILROW_LONG")
	}
	dsn := deliverytest.Database(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childLoads50+"="+dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var kB int
	if _, err := fmt.Sscan(string(out), &kB); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	t.Logf("%d MB at the peak", kB>>10)
	if kB > 256<<10 {
		t.Errorf("%d MB at the peak, more than 256", kB>>10)
	}
	got := deliverytest.Rows(t, dsn, "select count(*), count(*) filter (where size >= 50 * 1024 * 1024) from mailrow.messages")
	if want := fmt.Sprintf("%d|%d", largeMails*2001, largeMails); got[0] != want {
		t.Errorf("stored %s, want %s", got[0], want)
	}
}
