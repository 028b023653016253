package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/newfile"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/export"
)

// A mail that the database cannot give keeps no other from being exported, and
// leaves no file behind.
func TestDamagedMail(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	ctx := context.Background()
	attachment := strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\n", 60)
	large := "Subject: large\n\n" + strings.Repeat("a line\n", 1<<20)
	for i, raw := range []string{"Subject: first\n\n", "Subject: changed\n\n", attached(attachment), large, "Subject: no message\n\n", "Subject: last\n\n"} {
		archivetest.Deliver(t, dsn, fmt.Sprintf("m%d@example.org", i), raw)
	}
	if _, err := conn.Exec(ctx, `
		delete from mailrow.blobs;
		update mailrow.messages set raw = convert_to(E'Subject: Changed\n\n', 'UTF8') where subject = 'changed';
		update mailrow.messages set sha256 = sha256(sha256) where subject = 'large';
		delete from mailrow.messages where subject = 'no message'`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, err := export.NewMbox(filepath.Join(dir, "mbox"), false)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]export.Target{"mbox": file, "eml": export.NewEML(dir), "maildir": export.NewMaildir(filepath.Join(dir, "md"))} {
		var damaged []error
		count, err := export.Write(ctx, conn, archive.Filter{}, target, func(err error) { damaged = append(damaged, err) }, func(export.Count) {})
		if err != nil || count.Mails != 2 || count.Damaged != 4 || len(damaged) != 4 {
			t.Errorf("%s: %+v, %v, %v", name, count, err, damaged)
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "mbox"))
	if back := readMbox(text); err != nil || len(back) != 2 || string(back[1]) != "Subject: last\n\n" {
		t.Errorf("%q, %v", back, err)
	}
	// Of a stream that began with the large one, nothing can be taken back.
	var torn *export.TornError
	_, err = export.Write(ctx, conn, archive.Filter{}, export.NewStream(&bytes.Buffer{}), func(error) {}, func(export.Count) {})
	if !errors.As(err, &torn) {
		t.Errorf("got %v, want a TornError", err)
	}
	leftovers(t, dir)
}

func attached(base64 string) string {
	return "Subject: attached\nMIME-Version: 1.0\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n" + base64
}

// leftovers fails for files that are not whole.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), newfile.Prefix) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDiskIsFull(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	for i := range 3 {
		archivetest.Deliver(t, dsn, "a@example.org", fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat("x", 1<<20)))
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	target := export.NewStream(full)
	_, err = export.Write(context.Background(), conn, archive.Filter{}, target, func(err error) { t.Error(err) }, func(export.Count) {})
	if err == nil {
		err = target.Close()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}

func TestMboxIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "mbox")
	early, err := export.NewMbox(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Discard()
	if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := export.NewMbox(name, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
	if err := early.Close(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
	early.Discard()
	leftovers(t, dir)
	over, err := export.NewMbox(name, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := over.Close(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(name); err != nil || len(text) != 0 {
		t.Errorf("%q, %v", text, err)
	}
}
