package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
)

func importCommand(dsn string, args ...string) *exec.Cmd {
	cmd := exec.Command("mailrow", append([]string{"import", "--account", "ann@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	return cmd
}

// mailOf writes mails into a Maildir, an mbox and a compressed tar below a
// folder, and gives what must be in the database: mailbox, flags and SHA-256.
func mailOf(t *testing.T, dir string, mails, size int) (want []string) {
	t.Helper()
	box, inTar := &bytes.Buffer{}, &bytes.Buffer{}
	packer := gzip.NewWriter(inTar)
	archive := tar.NewWriter(packer)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "Maildir", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range mails {
		// Threads, and attachments that several mails have, are what mails share.
		raw := fmt.Sprintf("Message-ID: <%d@x>\nReferences: <%d@x>\nSubject: mail %d\nContent-Type: multipart/mixed; boundary=b\n\n"+
			"--b\n\n%s\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n%s\n--b--\n",
			i, i/7*7, i, strings.Repeat(fmt.Sprintln(i), size), strings.Repeat("QUFB", 18)+"\n"+strings.Repeat(strconv.Itoa(i%5), 72))
		place := ""
		switch i % 3 {
		case 0:
			write(t, filepath.Join(dir, "Maildir/cur", fmt.Sprintf("%d.M1.host:2,S", 1772532000+i)), raw)
			place = `INBOX|{"\\Seen"}`
		case 1:
			fmt.Fprintf(box, "From joe@example.net Tue Mar  3 10:00:00 2026\n%s\n", raw)
			place = "lists|{}"
		case 2:
			header := &tar.Header{Name: fmt.Sprintf("%d.eml", i), Size: int64(len(raw)), Mode: 0o600}
			if err := archive.WriteHeader(header); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(archive, raw)
			place = "old|{}"
		}
		want = append(want, fmt.Sprintf("%s|%x", place, sha256.Sum256([]byte(raw))))
	}
	archive.Close()
	packer.Close()
	write(t, filepath.Join(dir, "lists.mbox"), box.String())
	write(t, filepath.Join(dir, "old.tgz"), inTar.String())
	slices.Sort(want)
	return want
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stored is what the database has of it.
func stored(t *testing.T, dsn string) []string {
	t.Helper()
	rows := deliverytest.Rows(t, dsn, `select mailbox, flags, encode(sha256(mailrow.raw(id)), 'hex') from mailrow.mail`)
	slices.Sort(rows)
	return rows
}

// threads are the subjects that are together.
func threads(t *testing.T, dsn string) []string {
	t.Helper()
	return deliverytest.Rows(t, dsn, `
		select string_agg(subject, ',' order by subject) from mailrow.mail group by thread order by 1`)
}

// runs is how often a test kills: MAILROW_KILLS says more.
func runs(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("MAILROW_KILLS")); err == nil {
		return n
	}
	return needs.Times(few/4, few)
}

// Whenever an import is killed, the next one makes what an undisturbed one does.
func TestImportIsKilled(t *testing.T) {
	dir := t.TempDir()
	want := mailOf(t, dir, 900, 100)
	undisturbed := deliverytest.Database(t)
	begun := time.Now()
	if out, err := importCommand(undisturbed, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	takes := time.Since(begun)
	if diff := cmp.Diff(want, stored(t, undisturbed)); diff != "" {
		t.Fatal(diff)
	}
	inThreads := threads(t, undisturbed)
	killed := 0
	for kills := runs(t, 40); kills > 0; {
		dsn := deliverytest.Database(t)
		for range min(5, kills) { // several in a row
			kills--
			cmd := importCommand(dsn, dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rand.N(takes))
			if err := cmd.Process.Kill(); err == nil {
				killed++
			}
			cmd.Wait()
		}
		out, err := importCommand(dsn, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if diff := cmp.Diff(want, stored(t, dsn)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(inThreads, threads(t, dsn)); diff != "" {
			t.Fatal(diff)
		}
	}
	t.Logf("killed %d times amid imports of %v", killed, takes)
}

// A signal ends an import in good order; the next one goes on.
func TestImportIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	want := mailOf(t, dir, 4000, 4000)
	dsn := deliverytest.Database(t)
	cmd := importCommand(dsn, dir)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, dsn, "select count(*) from mailrow.messages")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "run it again to go on") {
		t.Errorf("%v: %s%s", err, &out, &said)
	}
	counted := strings.Fields(out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:])[0]
	if rows := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail"); rows[0] != counted || counted == fmt.Sprint(len(want)) {
		t.Errorf("%s mails are stored, it said %s", rows[0], counted)
	}
	if again, err := importCommand(dsn, dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, again)
	}
	if diff := cmp.Diff(want, stored(t, dsn)); diff != "" {
		t.Error(diff)
	}
}

// waitFor waits until a count is not 0.
func waitFor(t *testing.T, dsn, count string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if rows := deliverytest.Rows(t, dsn, count); rows[0] != "0" {
			return
		}
	}
	t.Fatal("in vain: ", count)
}

// An import waits for a database that is restarted, and goes on by itself.
func TestImportWhileServerRestarts(t *testing.T) {
	dir := t.TempDir()
	want := mailOf(t, dir, 3000, 300)
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	cmd := importCommand(dsn, dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It may take a while to begin, and without a database it does not. Who asked before
	// may still be there, and his query has the name in it as well.
	waitFor(t, dsn, "select count(*) from pg_stat_activity where query like '%deliver_all($1%' and query not like '%pg_stat_activity%'")
	for range 3 {
		cluster.Stop(t, "immediate")
		cluster.Start(t)
		time.Sleep(300 * time.Millisecond)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &out)
	}
	if diff := cmp.Diff(want, stored(t, dsn)); diff != "" {
		t.Error(diff)
	}
}

// What has not changed is passed over, however much it is.
func TestImportOfUnchangedMaildir(t *testing.T) {
	mails := needs.Times(5000, 100_000)
	dir := t.TempDir()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range mails {
		write(t, filepath.Join(dir, "cur", fmt.Sprintf("%d.M%d.host:2,S", 1772532000+i, i)), fmt.Sprintf("Subject: %d\n\n", i))
	}
	time.Sleep(2100 * time.Millisecond)
	dsn := deliverytest.Database(t)
	for i, want := range []string{fmt.Sprintf("%d stored, 0 already there", mails), fmt.Sprintf("0 stored, %d already there", mails)} {
		begun := time.Now()
		out, err := importCommand(dsn, dir).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v: %s", err, out)
		}
		took := time.Since(begun)
		t.Logf("%d mails: %v", mails, took)
		if i == 1 && took > 2*time.Second {
			t.Errorf("the second time took %v", took)
		}
	}
	// One more is read alone.
	write(t, filepath.Join(dir, "new", "1.M1.host"), "Subject: one more\n\n")
	begun := time.Now()
	out, err := importCommand(dsn, dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("1 stored, %d already there", mails)) {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("one more: %v", time.Since(begun))
}

// Files of many mails that have not changed are not even opened, however large they
// are: it takes no more than a small one.
func TestImportOfUnchangedFiles(t *testing.T) {
	mails := needs.Times(10_000, 500_000)
	dir := t.TempDir()
	for name, many := range map[string]int{"small.mbox": 1, "large.mbox": mails} {
		var box, packed bytes.Buffer
		for i := range many {
			fmt.Fprintf(&box, "From joe@example.net Tue Mar  3 10:00:00 2026\nSubject: %d\n\n%s\n", i, strings.Repeat("text\n", 20))
		}
		packer := gzip.NewWriter(&packed)
		packer.Write(box.Bytes())
		packer.Close()
		write(t, filepath.Join(dir, name), box.String())
		write(t, filepath.Join(dir, name+".gz"), packed.String())
	}
	time.Sleep(2100 * time.Millisecond) // until their times tell
	dsn := deliverytest.Database(t)
	for _, ending := range []string{".mbox", ".mbox.gz"} {
		cpu := map[string]time.Duration{"small": time.Hour, "large": time.Hour}
		for name := range cpu {
			for i := range 4 {
				cmd := importCommand(dsn, "--mailbox", ending, filepath.Join(dir, name+ending))
				out, err := cmd.CombinedOutput()
				if err != nil || i > 0 && !strings.Contains(string(out), "\n0 stored, ") {
					t.Fatalf("%v: %s", err, out)
				}
				if i > 0 {
					cpu[name] = min(cpu[name], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
				}
			}
		}
		t.Logf("*%s again: of one mail %v, of %d mails %v of the processor", ending, cpu["small"], mails, cpu["large"])
		if cpu["large"] > 2*cpu["small"]+20*time.Millisecond {
			t.Errorf("*%s: it was read again", ending)
		}
	}
}

// The mails of the corpus come back byte for byte from every form of it.
func TestImportOfCorpus(t *testing.T) {
	dir, err := corpus.Find()
	if err != nil {
		t.Skip("no mail to test with: lay the corpus beside the project, or set MAILROW_CORPUS")
	}
	formats := filepath.Join(dir, "formats")
	var sources []string
	for i := range 5 {
		raw, err := os.ReadFile(filepath.Join(formats, "generated/sources", fmt.Sprintf("%d.eml", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, fmt.Sprintf("%x", sha256.Sum256(raw)))
	}
	dsn := deliverytest.Database(t)
	if out, err := importCommand(dsn, filepath.Join(formats, "generated"), filepath.Join(formats, "collected")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, mailbox := range []string{"sources", "mboxrd", "mmdf", "mboxcl2", "INBOX", "mboxo"} {
		exact := 0
		rows := deliverytest.Rows(t, dsn, "select encode(sha256, 'hex') from mailrow.mail where mailbox = $1", mailbox)
		for _, sum := range rows {
			if slices.Contains(sources, sum) {
				exact++
			}
		}
		// mboxo keeps the quote of a From_ line in one of them, mboxrd where nothing
		// says that it is mboxrd; mboxcl2 has a Content-Length more.
		want := map[string]int{"mboxo": 4, "mboxrd": 4, "mboxcl2": 0}
		if n, lossy := want[mailbox]; len(rows) < 5 || exact < 5 && !lossy || exact < n {
			t.Errorf("%s: %d mails, %d of them exact", mailbox, len(rows), exact)
		}
	}
	for mailbox, want := range map[string]int{ // as one counts them by eye
		"imaptest-default": 6, "perl5-mail-box-mbox.src": 45, "perl5-mail-box-mbox.win": 45,
		"mail-mbox-messageparser-mailarc-2.txt": 5, "mimekit-unmunged.mbox.txt": 2,
	} {
		rows := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail where mailbox = $1", mailbox)
		if rows[0] != fmt.Sprint(want) {
			t.Errorf("%s: %s mails, want %d", mailbox, rows[0], want)
		}
	}
}
