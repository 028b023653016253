// Package docs has no code: its tests run the examples of the documentation.
package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/mtatest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// block is one fenced example.
type block struct{ file, kind, text string }

func (b block) String() string { return b.file + ":\n" + b.text }

var fence = regexp.MustCompile("(?ms)^```([a-z.-]+)\n(.*?)^```$")

func blocks(t *testing.T, kind string, files ...string) (found []block) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
			if match[1] == kind {
				found = append(found, block{file, kind, match[2]})
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no %s example in %v", kind, files)
	}
	return found
}

// demo is a database with the mail of testdata/demo.
func demo(t *testing.T) (dsn string) {
	t.Helper()
	dsn = deliverytest.Database(t)
	deliverDemo(t, dsn)
	return dsn
}

func deliverDemo(t *testing.T, dsn string) {
	t.Helper()
	mails, err := filepath.Glob("../testdata/demo/*.eml")
	if err != nil || len(mails) == 0 {
		t.Fatal("no mail in testdata/demo", err)
	}
	for _, name := range mails {
		mail, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(deliverytest.Program(t), "-f", "", "--client-address=192.0.2.7", "ann+lists@example.com")
		cmd.Env = []string{"DATABASE_URL=" + dsn}
		cmd.Stdin = mail
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("deliver %s: %v: %s", name, err, out)
		}
		mail.Close()
	}
}

func TestSQLExamples(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, demo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, example := range blocks(t, "sql", "../README.md", "sql.md", "volume.md") {
		results, err := conn.PgConn().Exec(ctx, example.text).ReadAll()
		if err != nil {
			t.Errorf("%s%v", example, err)
			continue
		}
		last := results[len(results)-1]
		if none := strings.Contains(example.text, "none in the demo"); last.CommandTag.Select() && (len(last.Rows) == 0) != none {
			t.Errorf("%d rows: %s", len(last.Rows), example)
		}
	}
}

// Each page has its own database, and its examples go in their order.
func TestConsoleExamples(t *testing.T) {
	for _, page := range []string{"sql.md", "search.md", "queue.md", "care.md", "security.md", "polling.md", "import.md", "moving.md", "shell.md"} {
		t.Run(page, func(t *testing.T) { console(t, page) })
	}
}

func console(t *testing.T, page string) {
	dsn := demo(t)
	dir := scratch.ForTest(t)
	here := strings.NewReplacer()
	if page == "polling.md" || page == "shell.md" {
		here = servers(t, dir)
	}
	build := exec.Command("go", "build", "-o", dir, "mailrow/cmd/mailrow")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	home(t, dir)
	for _, example := range blocks(t, "console", page) {
		for line := range strings.Lines(example.text) {
			command, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				continue
			}
			cmd := exec.Command("/bin/sh", "-c", here.Replace(command))
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn, "HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s%v: %s", example.file, command, err, out)
			}
		}
	}
	switch page {
	case "sql.md", "queue.md", "security.md", "shell.md":
		return // these have tests of their own, or no SQL
	}
	conn := archivetest.Connect(t, dsn)
	for _, example := range blocks(t, "sql", page) {
		if _, err := conn.PgConn().Exec(context.Background(), example.text).ReadAll(); err != nil {
			t.Errorf("%s%v", example, err)
		}
	}
}

// servers makes the mail servers of the examples, with their users and a file that
// has their password, and gives what their names stand for here.
func servers(t *testing.T, home string) *strings.Replacer {
	t.Helper()
	users := []string{"ann@example.com", "bob@example.com"}
	s := dovecottest.Start(t, dovecottest.Config{Users: users})
	for _, user := range users {
		s.Append(t, user, "INBOX", []byte("Subject: from a server\r\n\r\nhello\r\n"))
	}
	if err := os.WriteFile(filepath.Join(home, "imap.password"), []byte(dovecottest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("@imap.example.com?", "@"+s.IMAPS+"?ca="+s.CA()+"&", "@pop.example.com?", "@"+s.POP3S+"?ca="+s.CA()+"&")
}

// home makes mailboxes to poll.
func home(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"new", "cur", ".Lists.go/new", ".Lists.go/cur"} {
		if err := os.MkdirAll(filepath.Join(dir, "Maildir", sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"Maildir/new/1.host":           "Subject: one\n\n1\n",
		"Maildir/.Lists.go/new/2.host": "Subject: two\n\n2\n",
		"inbox":                        "From s@example.net Tue Mar  3 10:00:00 2026\nSubject: three\n\n3\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The configurations shown are short forms of what mailrow setup prints; they
// must work as they stand, but for the path and the user.
func TestPostfixExamples(t *testing.T) {
	mtatest.Need(t)
	for _, file := range []string{"../README.md", "postfix.md"} {
		dsn := deliverytest.Database(t)
		main := blocks(t, "main.cf", file)[0].text
		service := strings.NewReplacer(
			"user=mailrow", "user=nobody",
			"/usr/local/bin/mailrow-deliver", deliverytest.Program(t)+" --config="+deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		).Replace(blocks(t, "master.cf", file)[0].text)
		server := mtatest.StartPostfix(t, mtatest.Postfix{Pipe: []string{"/bin/false"}, ExtraMain: main, ExtraMaster: service})
		server.Send(t, "ann@x.test", []string{"bob@example.org"}, []byte("Subject: "+file+"\n\nbody\n"))
		checkSent(t, file, dsn, "example.org", server.WaitResults(t, 1, mtaTimeout))
	}
}

func TestEximExamples(t *testing.T) {
	mtatest.Need(t)
	for _, file := range []string{"../README.md", "exim.md"} {
		dsn := deliverytest.Database(t)
		transport := strings.NewReplacer(
			"mailrow:\n", "", "  user = mailrow\n", "",
			"/usr/local/bin/mailrow-deliver", deliverytest.Program(t)+" --config="+deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		).Replace(blocks(t, "exim-transport", file)[0].text)
		server := mtatest.StartExim(t, mtatest.Exim{Transport: transport})
		server.Send(t, "ann@x.test", []string{"bob@" + mtatest.CommandDomain}, []byte("Subject: "+file+"\n\nbody\n"))
		checkSent(t, file, dsn, mtatest.CommandDomain, server.WaitResults(t, 1, mtaTimeout))
	}
}

func TestLMTPExamples(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	socket := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn))).Socket
	here := strings.NewReplacer("/run/mailrow/lmtp", socket, "mailrow:\n", "")
	postfix := mtatest.StartPostfix(t, mtatest.Postfix{ExtraMain: here.Replace(blocks(t, "main.cf", "lmtp.md")[0].text)})
	postfix.Send(t, "ann@x.test", []string{"bob@example.org"}, []byte("Subject: lmtp.md\n\nbody\n"))
	checkSent(t, "lmtp.md", dsn, "example.org", postfix.WaitResults(t, 1, mtaTimeout))

	dsn = deliverytest.Database(t)
	socket = deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn))).Socket
	here = strings.NewReplacer("/run/mailrow/lmtp", socket, "mailrow:\n", "")
	exim := mtatest.StartExim(t, mtatest.Exim{Transport: here.Replace(blocks(t, "exim-transport", "lmtp.md")[0].text)})
	exim.Send(t, "ann@x.test", []string{"bob@" + mtatest.CommandDomain}, []byte("Subject: lmtp.md\n\nbody\n"))
	checkSent(t, "lmtp.md", dsn, mtatest.CommandDomain, exim.WaitResults(t, 1, mtaTimeout))
}

const mtaTimeout = 30e9

func checkSent(t *testing.T, file, dsn, domain string, results []mtatest.Result) {
	t.Helper()
	if results[0].Status != "sent" {
		t.Errorf("%s: %+v", file, results[0])
	}
	got := deliverytest.Rows(t, dsn, "select sender, recipient, subject from mailrow.mail")
	if want := "ann@x.test|bob@" + domain + "|" + file; len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The manual shows a whole configuration file; it must be one.
func TestConfigurationOfTheManual(t *testing.T) {
	page, err := os.ReadFile("man/mailrow-deliver.8.in")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), ".Bd -literal -offset indent\n")
	text, _, _ := strings.Cut(after, ".Ed")
	path := filepath.Join(t.TempDir(), "mailrow.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := deliver.DefaultConfig()
	want.Database = "host=/var/run/postgresql dbname=mail user=mailrow"
	if got, err := deliver.ReadConfig(path); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}
