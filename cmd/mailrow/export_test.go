package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/newfile"
	"mailrow/store/archive/archivetest"
)

// However an export ends, what has its final name is whole, and the next one
// goes on.
func TestExportIsKilled(t *testing.T) {
	dsn := deliverytest.Database(t)
	mails := map[string]string{}
	for i := range 400 {
		raw := fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat(fmt.Sprintln(i), 5000))
		mails[fmt.Sprint(archivetest.Deliver(t, dsn, "ann@example.com", raw))+".eml"] = raw
	}
	export := func(args ...string) *exec.Cmd {
		cmd := exec.Command("mailrow", append([]string{"export"}, args...)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
		return cmd
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd := export("--format", "eml", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); len(files(t, dir)) < 5 && time.Since(begun) < time.Minute; {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Logf("it had ended: %v", err)
		}
		cmd.Wait()
		for name, raw := range files(t, dir) {
			if strings.HasPrefix(name, newfile.Prefix) {
				if signal == syscall.SIGTERM {
					t.Errorf("left behind: %s", name)
				}
			} else if raw != mails[name] {
				t.Errorf("%v: %s has %d bytes of %d", signal, name, len(raw), len(mails[name]))
			}
		}
		if out, err := export("--format", "eml", dir).CombinedOutput(); err != nil {
			t.Errorf("again: %v: %s", err, out)
		}
		got := files(t, dir)
		for name, raw := range mails {
			if got[name] != raw {
				t.Errorf("%v and again: %s has %d bytes of %d", signal, name, len(got[name]), len(raw))
			}
		}
	}
}

// files are those below a folder, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return skipGone(err)
		}
		raw, err := os.ReadFile(path)
		found[entry.Name()] = string(raw)
		return skipGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skipGone forgives that a file got another name meanwhile.
func skipGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func TestMboxIsKilled(t *testing.T) {
	dsn := deliverytest.Database(t)
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\nx\n")
	// The export waits for a lock in the midst of its work.
	conn := archivetest.Connect(t, dsn)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table mailrow.messages in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("mailrow", "export", "--format", "mbox", filepath.Join(dir, "mbox"))
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); len(files(t, dir)) == 0 && time.Since(begun) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it succeeded")
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What is exported in any form and imported again is the same mail, byte for byte.
func TestExportAndImport(t *testing.T) {
	odd := t.TempDir()
	for i, raw := range []string{
		"Subject: quotes\n\nFrom here\n>From there\n>>From\n> From\n", "Subject: CRLF\r\n\r\nFrom x\r\n", "Subject: no line end\n\nx",
		"Subject: many\n\n\n\n\n", "Subject: nul\n\n\x00\xff\n", "Subject: header only\n", "Subject: no end of header",
		"From: a@b\n\nFrom a@b Tue Mar  3 10:00:00 2026\nSubject: no mail\n\n", "no header\n\nat all\n", "\nSubject: begins with an empty line\n",
	} {
		write(t, filepath.Join(odd, fmt.Sprintf("%d.eml", i)), raw)
	}
	sources := []string{odd, "../../testdata/message", "../../testdata/demo"}
	if dir, err := corpus.Find(); err == nil {
		sources = append(sources, filepath.Join(dir, "torture"))
		if needs.Times(0, 1) == 1 {
			sources = append(sources, filepath.Join(dir, "real"))
		}
	}
	dsn := deliverytest.Database(t)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("mailrow", args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("mailrow %v: %v: %.1000s", args, err, out)
		}
		return string(out)
	}
	sums := func(account string) []string {
		return deliverytest.Rows(t, dsn, `select distinct encode(sha256, 'hex') from mailrow.mail where account = $1 order by 1`, account)
	}
	run(append([]string{"import", "--account", "source"}, sources...)...)
	want := sums("source")
	if len(want) < 50 { // of testdata alone
		t.Errorf("only %d mails", len(want))
	}
	for _, test := range []struct{ format, path string }{
		{"mbox", "all.mboxrd"}, {"maildir", "maildir"}, {"eml", "eml"},
	} {
		path := filepath.Join(t.TempDir(), test.path)
		if out := run("export", "--format", test.format, "--account", "source", path); strings.Contains(out, "quoted") {
			t.Errorf("%s: %s", test.format, out)
		}
		run("import", "--account", test.format, path)
		if diff := cmp.Diff(want, sums(test.format)); diff != "" {
			t.Errorf("%s: %s", test.format, diff)
		}
	}
	// Nothing but its name says that a file is mboxrd.
	plain := filepath.Join(t.TempDir(), "all.mbox")
	if out := run("export", "--format", "mbox", "--account", "source", plain); !strings.HasSuffix(out, "; lines that begin with From are quoted: call it all.mbox.mboxrd before you import it\n") {
		t.Errorf("said %s", out)
	}
}
