package export_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/export"
)

// Names of accounts and mailboxes are anything that a route or a sender made up.
func TestNamesStayInTheFolder(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	ctx := context.Background()
	places := [][2]string{
		{"../../etc", "../../up"}, {"a/b", "x//y"}, {".", ".."}, {"a%2Fb", "&.\\"}, {strings.Repeat("ü", 900), strings.Repeat("x", 900) + "a"},
		{strings.Repeat("ü", 900) + "b", strings.Repeat("x", 900) + "b"}, {"c\x01d", "INBOX/1.eml"}, {"c\x01d", "INBOX"}, {"c\x01d", "日本/語"},
	}
	for i, place := range places {
		id := archivetest.Deliver(t, dsn, fmt.Sprintf("n%d@example.org", i), fmt.Sprintf("Subject: %d\n\n", i))
		_, err := conn.Exec(ctx, `
			with a as (insert into mailrow.accounts (name) values ($1) on conflict (name) do update set name = $1 returning account_id),
			     b as (insert into mailrow.mailboxes (account_id, name) select account_id, $2 from a returning account_id, mailbox_id),
			     m as (update mailrow.messages m set account_id = b.account_id from b where m.id = (select message from mailrow.deliveries where id = $3))
			update mailrow.deliveries d set account_id = b.account_id, mailbox = b.mailbox_id from b where d.id = $3`,
			place[0], place[1], id)
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, open := range map[string]func(string) export.Target{"eml": export.NewEML, "maildir": export.NewMaildir} {
		outer := t.TempDir()
		write(t, conn, archive.Filter{}, open(filepath.Join(outer, "deep", "root")))
		files := 0
		err := filepath.WalkDir(outer, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && entry.Name() != "maildirfolder" {
				files++
				if !strings.HasPrefix(path, filepath.Join(outer, "deep", "root")) {
					t.Errorf("%s: %s", name, path)
				}
			}
			return err
		})
		if err != nil || files != len(places) {
			t.Errorf("%s: %d files, want %d: %v", name, files, len(places), err)
		}
	}
}

func TestMaildirFlagsAndTimes(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	id := archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\nx\n")
	if _, err := conn.Exec(context.Background(), `update mailrow.deliveries
		set flags = array['\Seen','\Flagged','$Forwarded','\answered','keyword'], received_at = '2026-02-03 04:05:06.789+00'`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, conn, archive.Filter{}, export.NewMaildir(dir))
	at := time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
	name := filepath.Join(dir, "ann@example.com", "cur", fmt.Sprintf("%d.M789000I%d.mailrow,S=14:2,FPRS", at.Unix(), id))
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if !info.ModTime().Equal(at) {
		t.Errorf("modified %v, want %v", info.ModTime(), at)
	}
	for _, sub := range []string{"new", "tmp"} {
		if entries, err := os.ReadDir(filepath.Join(dir, "ann@example.com", sub)); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v, %v", sub, entries, err)
		}
	}
}
