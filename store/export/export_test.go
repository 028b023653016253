package export_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/export"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// odd are mails that a format could spoil.
var odd = map[string]string{
	"empty":              "",
	"only an lf":         "\n",
	"without line end":   "Subject: x\n\nno end",
	"crlf":               "Subject: x\r\n\r\nFrom here\r\n>From there\r\n\r\n",
	"cr":                 "Subject: x\r\rFrom here\r",
	"from first":         "From: a@example.org\nFrom here\n\nFrom there\n",
	"from line":          "From x\nSubject: x\n\nbody\n",
	"quoted":             "Subject: x\n\n>From\n>From \n>>>>From x\n > From\n>Fro\n>",
	"ends in quotes":     "Subject: x\n\n>>>>>>>>",
	"ends in from":       "Subject: x\n\nFrom ",
	"ends in part of it": "Subject: x\n\nFro",
	"blank lines":        "Subject: x\n\n\n\n\n",
	"nul and eight bits": "Subject: x\n\n\x00\xff\xfe\x00From \n",
	"from at a chunk":    "Subject: x\n\n" + strings.Repeat("From \n>From a\n", 1<<20),
}

// storeAll delivers to one account and gives the mails by id.
func storeAll(t *testing.T, dsn string, mails []corpus.Mail) map[int64]corpus.Mail {
	t.Helper()
	ctx := context.Background()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := store.Connect(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	byID := map[int64]corpus.Mail{}
	for i, mail := range mails {
		sender := "s@example.net"
		to := fmt.Sprintf("m%d@example.org", i)
		results, err := conn.Deliver(ctx, &store.Delivery{
			Raw: mail.Raw, Message: message.Parse(mail.Raw), Account: "ann@example.com", Mailbox: "Odd/ä.b",
			Envelope: &message.Envelope{Sender: &sender, Recipients: []message.Recipient{{Address: to}}, Source: "test"},
			Lookups:  []store.Lookup{{Address: to, Base: to}},
		})
		if err != nil {
			t.Fatalf("%s: %v", mail.Name, err)
		}
		byID[results[0].ID] = mail
	}
	return byID
}

func mails(t *testing.T) (list []corpus.Mail) {
	t.Helper()
	for name, raw := range odd {
		list = append(list, corpus.Mail{Name: name, Raw: []byte(raw)})
	}
	dir, err := corpus.Find()
	if err != nil {
		t.Logf("only own mails: %v", err)
		return list
	}
	torture, err := corpus.Odd(dir)
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, torture...)
	real, err := corpus.Real(dir)
	if err != nil {
		needs.Missing(t, "zstd", needs.Install)
	}
	for i := 0; i < len(real); i += 40 {
		list = append(list, real[i])
	}
	return list
}

func write(t *testing.T, conn *pgx.Conn, filter archive.Filter, target export.Target) export.Count {
	t.Helper()
	count, err := export.Write(context.Background(), conn, filter, target,
		func(err error) { t.Error(err) }, func(export.Count) {})
	if err == nil {
		err = target.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// Every format gives every mail back byte for byte.
func TestExact(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	byID := storeAll(t, dsn, mails(t))
	order, err := archive.IDs(context.Background(), conn, archive.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("mbox", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "all.mbox")
		target, err := export.NewMbox(name, false)
		if err != nil {
			t.Fatal(err)
		}
		count := write(t, conn, archive.Filter{}, target)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		back := readMbox(text)
		if len(back) != len(order) || count.Mails != int64(len(order)) {
			t.Fatalf("%d mails in the mbox, %d counted, want %d", len(back), count.Mails, len(order))
		}
		for i, id := range order {
			same(t, byID[id], back[i])
		}
		var stream bytes.Buffer
		write(t, conn, archive.Filter{}, export.NewStream(&stream))
		if !bytes.Equal(stream.Bytes(), text) {
			t.Error("the stream is not the file")
		}
	})
	t.Run("eml", func(t *testing.T) {
		dir := t.TempDir()
		write(t, conn, archive.Filter{}, export.NewEML(dir))
		for id, mail := range byID {
			raw, err := os.ReadFile(filepath.Join(dir, "ann@example.com", "Odd", "ä.b", fmt.Sprintf("%d.eml", id)))
			if err != nil {
				t.Fatal(err)
			}
			same(t, mail, raw)
		}
		if count := write(t, conn, archive.Filter{}, export.NewEML(dir)); count.Mails != 0 || count.Skipped != int64(len(byID)) {
			t.Errorf("again: %+v", count)
		}
	})
	t.Run("maildir", func(t *testing.T) {
		dir := t.TempDir()
		write(t, conn, archive.Filter{}, export.NewMaildir(dir))
		for id, mail := range byID {
			names, err := filepath.Glob(filepath.Join(dir, "ann@example.com", `.Odd.&AOQ-\\2eb`, "new", fmt.Sprintf("*I%d.mailrow,S=%d", id, len(mail.Raw))))
			if err != nil || len(names) != 1 {
				t.Fatalf("%s: %v, %v", mail.Name, names, err)
			}
			raw, err := os.ReadFile(names[0])
			if err != nil {
				t.Fatal(err)
			}
			same(t, mail, raw)
		}
		if count := write(t, conn, archive.Filter{}, export.NewMaildir(dir)); count.Mails != 0 || count.Skipped != int64(len(byID)) {
			t.Errorf("again: %+v", count)
		}
	})
}

func same(t *testing.T, mail corpus.Mail, got []byte) {
	t.Helper()
	if !bytes.Equal(mail.Raw, got) {
		t.Errorf("%s: %d bytes that are not the %d delivered: %.60q", mail.Name, len(got), len(mail.Raw), got)
	}
}

// readMbox reads by the words of the documentation.
func readMbox(text []byte) (mails [][]byte) {
	var mail []byte
	inMail := false
	end := func() {
		if inMail {
			mails = append(mails, bytes.Clone(bytes.TrimSuffix(mail, []byte("\n"))))
		}
		inMail, mail = true, mail[:0]
	}
	for line := range bytes.Lines(text) {
		switch {
		case bytes.HasPrefix(line, []byte("From ")):
			end()
		case bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")):
			mail = append(mail, line[1:]...)
		default:
			mail = append(mail, line...)
		}
	}
	end()
	return mails
}

func TestMailIsLargerThanAChunk(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	large := corpus.Mail{Name: "large", Raw: []byte("Subject: large\n\n" + strings.Repeat("From a line\n", 2<<20))}
	storeAll(t, dsn, []corpus.Mail{large, {Name: "small", Raw: []byte("Subject: small\n\n")}})
	var out bytes.Buffer
	write(t, conn, archive.Filter{}, export.NewStream(&out))
	back := readMbox(out.Bytes())
	if len(back) != 2 {
		t.Fatalf("%d mails", len(back))
	}
	same(t, large, back[0])
}

func TestFromLine(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	ctx := context.Background()
	for sender, want := range map[string]string{
		"null":            "MAILER-DAEMON",
		"''":              "MAILER-DAEMON",
		"'a@example.org'": "a@example.org",
		`E'"a b\n"@x'`:    `"a_b_"@x`,
	} {
		id := archivetest.Deliver(t, dsn, "ann@example.com", "Subject: "+sender+"\n\n")
		if _, err := conn.Exec(ctx, `update mailrow.deliveries set sender = `+sender+`, received_at = '2026-02-03 04:05:06.789+01'`); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		write(t, conn, archive.Filter{IDs: []int64{id}}, export.NewStream(&out))
		if got, want := strings.SplitN(out.String(), "\n", 2)[0], "From "+want+" Tue Feb  3 03:05:06 2026"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
