package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/corpus"
	"mailrow/internal/needs"
	"mailrow/poller"
	"mailrow/store/archive"
	"mailrow/store/export"
)

// What was packed from known mails must give them back.
func TestCorpus(t *testing.T) {
	found, err := corpus.Find()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no mail to test with: lay the corpus beside the project, or set MAILROW_CORPUS")
	}
	must(t, err)
	generated := filepath.Join(found, "formats", "generated")
	var sources []string
	for i := range 5 {
		raw, err := os.ReadFile(filepath.Join(generated, "sources", fmt.Sprintf("%d.eml", i+1)))
		must(t, err)
		sources = append(sources, string(raw))
	}
	all := []string{`\Draft`, `\Flagged`, `$Forwarded`, `\Answered`, `\Seen`, `\Deleted`, "NonJunk"}
	for name, want := range map[string]map[string][]mail{
		"maildir": {"INBOX": {
			{"1772532000.M0P0.host.example,S=605", nil, sources[0]},
			{"1772532001.M1P1.host.example,S=662", []string{`\Seen`}, sources[1]},
			{"1772532002.M2P2.host.example,S=952", []string{`\Answered`, `\Seen`}, sources[2]},
			{"1772532003.M3P3.host.example,S=582", []string{`\Flagged`, `\Seen`}, sources[3]},
			{"1772532004.M4P4.host.example,S=614", all, sources[4]},
		}},
		"maildirpp": {
			"INBOX":           {{"1772532000.M0P0.host.example,S=605", []string{`\Seen`}, sources[0]}},
			"Sent":            {{"1772532000.M0P1.host.example,S=662", []string{`\Seen`}, sources[1]}},
			"Trash":           {{"1772532000.M0P2.host.example,S=952", []string{`\Seen`, `\Deleted`}, sources[2]}},
			"Archive/2026/Q1": {{"1772532000.M0P3.host.example,S=582", []string{`\Seen`}, sources[3]}},
			"Entwürfe":        {{"1772532000.M0P4.host.example,S=614", []string{`\Draft`}, sources[4]}},
			"日本語":             {{"1772532000.M0P0.host.example,S=605", nil, sources[0]}},
		},
		"maildir-fs": {
			"INBOX":        {{"1772532000.M0P0.host.example,S=605", []string{`\Seen`}, sources[0]}},
			"Archive/2026": {{"1772532000.M0P1.host.example,S=662", []string{`\Seen`}, sources[1]}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out, err := exec.Command("tar", "-C", dir, "-xf", filepath.Join(generated, name+".tar")).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(want, everything(t, filepath.Join(dir, name))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// everything reads all mails of all folders.
func everything(t *testing.T, dir string) map[string][]mail {
	t.Helper()
	s := sourceOf(t, dir)
	names, err := s.Folders(t.Context(), []string{"*"})
	must(t, err)
	got := map[string][]mail{}
	for _, name := range names {
		f, err := s.Folder(t.Context(), name)
		must(t, err)
		got[name] = read(t, f)
		must(t, f.Close())
	}
	return got
}

// What export writes must come back.
func TestExported(t *testing.T) {
	dir := t.TempDir()
	target := export.NewMaildir(dir)
	at := time.Unix(1772532000, 5000)
	want := map[string][]mail{}
	for i, mailbox := range []string{"INBOX", "Sent", "v1.2", `C:\mail`, "a//b", "Entwürfe/日本語", "R&D", `\2e`} {
		m := archive.Mail{ID: int64(i), Account: "joe", Mailbox: mailbox, ReceivedAt: at, Size: 4}
		if i%2 == 1 {
			m.Flags = []string{`\Draft`, `\Seen`, "$Junk"}
		}
		must(t, target.Add(m, func(w io.Writer) error {
			_, err := io.WriteString(w, "mail")
			return err
		}))
		id := fmt.Sprintf("1772532000.M000005I%d.mailrow,S=4", i)
		want[mailbox] = []mail{{id, nil, "mail"}}
		if i%2 == 1 {
			want[mailbox][0].Flags = []string{`\Draft`, `\Seen`}
		}
	}
	must(t, target.Close())
	if diff := cmp.Diff(want, everything(t, filepath.Join(dir, "joe"))); diff != "" {
		t.Error(diff)
	}
	if got := list(t, open(t, filepath.Join(dir, "joe"), inbox))[0]; !got.ReceivedAt.Equal(at) {
		t.Errorf("received at %v, want %v", got.ReceivedAt, at)
	}
}

// Python's mailbox module writes what we read, and reads what we moved.
func TestPython(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	python(t, `
import mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=True)
for i in range(3):
    mail = mailbox.MaildirMessage("Subject: %d\n\nbody\n" % i)
    if i > 0:
        mail.set_subdir("cur")
        mail.set_flags("FS" if i == 1 else "R")
    box.add(mail)
box.add_folder("Sent").add("Subject: sent\n\n")
`, dir)
	got := everything(t, dir)
	if len(got[inbox]) != 3 || len(got["Sent"]) != 1 {
		t.Fatalf("got %+v", got)
	}
	flags := map[string][]string{}
	for _, m := range got[inbox] {
		flags[m.Bytes] = m.Flags
	}
	want := map[string][]string{
		"Subject: 0\n\nbody\n": nil, "Subject: 1\n\nbody\n": {`\Flagged`, `\Seen`}, "Subject: 2\n\nbody\n": {`\Answered`},
	}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Error(diff)
	}

	f := open(t, dir, inbox)
	must(t, f.(poller.Marker).MarkSeen(t.Context(), list(t, f)))
	must(t, f.(poller.Archiver).Archive(t.Context(), list(t, f), "Old/2026"))
	seen := python(t, `
import mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=False)
old = box.get_folder("Old.2026")
print(sorted(box.list_folders()), len(box), sorted((m["subject"], m.get_subdir(), m.get_flags()) for m in old))
`, dir)
	if want := "['Old.2026', 'Sent'] 0 [('0', 'cur', 'S'), ('1', 'cur', 'FS'), ('2', 'cur', 'RS')]"; seen != want {
		t.Errorf("Python sees %s, want %s", seen, want)
	}
}

func python(t *testing.T, script, arg string) string {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		needs.Missing(t, "python3", needs.Install)
	}
	out, err := exec.Command(program, "-c", script, arg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
