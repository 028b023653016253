package poller

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/budget"
	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/source"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// odd is a mailbox of one folder with one mail, which does what no real one does on
// request.
type odd struct {
	begin func()           // called when the folder is opened
	size  int64            // as listed
	read  func([]byte) int // reads the mail; 0 at its end
}

func (o *odd) Folders(context.Context, []string) ([]string, error) { return []string{"INBOX"}, nil }

func (o *odd) Folder(context.Context, string) (Folder, error) {
	o.begin()
	return o, nil
}

func (o *odd) List(context.Context, string) (*Listing, error) {
	return &Listing{Entries: func(yield func(Entry, error) bool) { yield(Entry{ID: "1", Size: o.size}, nil) }}, nil
}

func (o *odd) Open(context.Context, Entry) (io.ReadCloser, error) {
	return io.NopCloser(reader(o.read)), nil
}

func (o *odd) Close() error { return nil }

type reader func([]byte) int

func (r reader) Read(p []byte) (int, error) {
	n := r(p)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// oddPoller polls o, which is a source of its database.
func oddPoller(t *testing.T, o *odd) (p *Poller, s source.Source, dsn string) {
	t.Helper()
	dsn = deliverytest.Database(t)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "poller"
	connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, config) }
	conn, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	account := "ann"
	s = source.Source{URI: "maildir:///odd", Account: &account}
	if s.ID, err = source.Add(t.Context(), conn, s); err != nil {
		t.Fatal(err)
	}
	return &Poller{
		Connect: connect,
		Open:    func(context.Context, source.Source, URI) (Source, error) { return o, nil },
		Config:  deliver.DefaultConfig(),
		Warn:    func(_ source.Source, err error) { t.Log(err) },
	}, s, dsn
}

// A run that hangs gives its connection to the database back, and goes on over another
// one when it can.
func TestStuckRunHasNoConnection(t *testing.T) {
	hangs, goesOn := make(chan struct{}), make(chan struct{})
	mail := []byte("Subject: x\n\nx\n")
	o := &odd{begin: func() { close(hangs); <-goesOn }, size: int64(len(mail)), read: func(p []byte) int {
		n := copy(p, mail)
		mail = mail[n:]
		return n
	}}
	p, s, dsn := oddPoller(t, o)
	connections := func(want string) {
		t.Helper()
		var got string
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			got = deliverytest.Rows(t, dsn, `select count(*) from pg_stat_activity where application_name = 'poller' and datname = current_database()`)[0]
			if got == want {
				return
			}
		}
		t.Fatalf("%s connections, want %s", got, want)
	}
	w := &watch{Poller: p, Watch: Watch{AtOnce: 1, Figures: &Figures{}}, config: p.Config}
	one := &watched{source: s}
	one.run = w.runOf(one)
	w.sources = map[int64]*watched{s.ID: one}
	ended := make(chan error)
	go func() {
		count, err := one.run.look(context.Background())
		if count.Stored != 1 {
			t.Errorf("count %+v", count)
		}
		ended <- err
	}()
	<-hangs
	connections("1")
	now := time.Now()
	one.progress.Store(now.UnixNano())
	if runs := w.busy(now.Add(stuckAfter - time.Second)); runs != 1 {
		t.Errorf("%d runs get on", runs)
	}
	connections("1")
	for range 2 {
		if runs := w.busy(now.Add(stuckAfter)); runs != 0 {
			t.Errorf("%d runs get on", runs)
		}
		connections("0")
	}
	close(goesOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := deliverytest.Rows(t, dsn, `select stored, error is null, finished_at is not null from mailrow.source_runs`); len(got) != 1 || got[0] != "1|t|t" {
		t.Errorf("runs: %v", got)
	}
}

// A large mail takes of the memory for mails in hand before it is held, whatever its
// source says of its size, and gives all of it back.
func TestLargeMailReserves(t *testing.T) {
	const size, all = 9 << 20, 20 << 20
	piece := bytes.Repeat([]byte("a line of a mail\n"), 1000)
	for name, test := range map[string]struct{ said, limit, reserved int64 }{
		"known":          {size, 16 << 20, size},
		"unknown":        {-1, 16 << 20, 16<<20 + 1},
		"a lie":          {5 << 20, 16 << 20, 16<<20 + 1},
		"more than room": {-1, 64 << 20, all},
	} {
		t.Run(name, func(t *testing.T) {
			memory := budget.New(all)
			sent, most := 0, int64(0)
			o := &odd{begin: func() {}, size: test.said, read: func(p []byte) int {
				taken := memory.Size() - memory.Left()
				if most = max(most, taken); sent > keptBuffer+(2<<20) && taken == 0 {
					t.Errorf("%d bytes are held, and none reserved", sent)
				}
				n := copy(p, piece[:min(len(piece), size-sent)])
				sent += n
				return n
			}}
			p, s, dsn := oddPoller(t, o)
			p.Memory, p.Config.MaxSize = memory, test.limit
			if count, err := p.Run(t.Context(), s); err != nil || count.Stored != 1 {
				t.Fatalf("%+v, %v", count, err)
			}
			if most != test.reserved || memory.Left() != all {
				t.Errorf("reserved %d, want %d; left %d", most, test.reserved, memory.Left())
			}
			if got := deliverytest.Rows(t, dsn, `select size from mailrow.mail`); got[0] != "9437184" {
				t.Errorf("stored %v bytes", got)
			}
		})
	}
}
