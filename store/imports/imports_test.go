package imports

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestSet(t *testing.T) {
	var s Set
	for round := range 3 {
		var more []Hash
		for i := range 100 {
			more = append(more, HashOf(fmt.Sprint(round*50+i))) // half of them are there
		}
		s = s.With(more)
	}
	if s.Len() != 200 {
		t.Errorf("%d ids", s.Len())
	}
	for i := range 250 {
		if s.Has(fmt.Sprint(i)) != (i < 200) {
			t.Errorf("Has(%d) is %v", i, i >= 200)
		}
	}
	if Set(nil).Has("") {
		t.Error("nothing has something")
	}
}

func TestText(t *testing.T) {
	seen := map[string]string{}
	for path, want := range map[string]string{
		"/home/ann/Entwürfe": "/home/ann/Entwürfe",
		"/a\xff":             `/a\xff`,
		`/a\xff`:             `/a\\xff`,
		"/a\uFFFD\xfe":       "/a\uFFFD" + `\xfe`,
	} {
		got := Text(path)
		if got != want || seen[got] != "" {
			t.Errorf("%q: %q, as of %q", path, got, seen[got])
		}
		seen[got] = path
	}
}

func TestRows(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	row := Row{
		Account: "ann@example.com", Path: "/mail/\xff", Kind: "mbox", Folder: "Sent", Mailbox: "Sent", Recipient: "ann@example.com",
		Revision: "1", Mails: 2, Stored: 1, Bytes: 99, Settled: Set(nil).With([]Hash{HashOf("a"), HashOf("b")}),
		Started: time.Now(), Finished: true,
	}
	if saved, err := Save(ctx, conn, &row); err != nil || saved {
		t.Errorf("without the account: %v, %v", saved, err)
	}
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\n")
	for range 2 {
		if saved, err := Save(ctx, conn, &row); err != nil || !saved {
			t.Errorf("%v, %v", saved, err)
		}
	}
	load := func(mailbox string) Row {
		got := Row{Account: row.Account, Path: row.Path, Kind: row.Kind, Folder: row.Folder, Mailbox: mailbox, Recipient: row.Recipient}
		if err := Load(ctx, conn, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := row
	want.Started = time.Time{}
	if diff := cmp.Diff(want, load("Sent")); diff != "" {
		t.Error(diff)
	}
	if other := load("Old/Sent"); other.Revision != "" || other.Settled.Len() > 0 {
		t.Errorf("of another mailbox: %+v", other)
	}
	// An import that was interrupted keeps when one was not.
	row.Revision, row.Finished = "", false
	if _, err := Save(ctx, conn, &row); err != nil {
		t.Fatal(err)
	}
	if got := load("Sent"); got.Revision != "" || !got.Finished {
		t.Errorf("%+v", got)
	}
	if _, err := conn.Exec(ctx, `select mailrow.delete_account('ann@example.com')`); err != nil {
		t.Fatal(err)
	}
	if got := load("Sent"); got.Mails != 0 {
		t.Errorf("after the account was deleted: %+v", got)
	}
}
