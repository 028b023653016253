package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/message"
)

// The stored bytes are the received bytes, and nothing in them stops a delivery.
func TestAnyBytesAreStoredExactly(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, mail := range map[string][]byte{
		"empty":                    {},
		"one NUL":                  {0},
		"NUL everywhere":           []byte("Subject: a\x00b\nX\x00Y: c\nFrom: \x00 <\x00@x>\n\na\x00b\n"),
		"8-bit":                    []byte("Subject: caf\xe9\nFrom: J\xfcrgen <j@x>\n\n\xe9\n"),
		"every byte":               append([]byte("Subject: x\n\n"), every...),
		"every byte in a header":   append(append([]byte("Subject: "), every...), "\n\nbody\n"...),
		"invalid UTF-8":            []byte("Subject: \xc3\x28\xf0\x9f\n\n\xc3\x28\n"),
		"bare CR":                  []byte("Subject: a\rb\rX: c\n\na\rb\r\r\n"),
		"only CR":                  []byte("Subject: a\rFrom: b@c\r\rbody\r"),
		"mixed line ends":          []byte("Subject: a\r\nFrom: b@c\n\r\nx\ny\r\nz\r"),
		"no line end":              []byte("Subject: a"),
		"header without end":       []byte("Subject: a\nFrom: b@c\n"),
		"no header":                []byte("just\nsome text\n"),
		"line of 1 MB":             []byte("Subject: a\n\n" + strings.Repeat("x", 1<<20) + "\n"),
		"header of 1 MB":           []byte("Subject: " + strings.Repeat("é ", 1<<19) + "\nFrom: " + strings.Repeat("a@b, ", 1<<17) + "\n\n"),
		"message-id of 1 MB":       []byte("Message-ID: <" + strings.Repeat("x", 1<<20) + "@y>\nReferences: " + strings.Repeat("<a@b> ", 1<<17) + "\n\n"),
		"100,000 fields":           []byte(strings.Repeat("X-Y: z\n", 100_000) + "\nbody\n"),
		"200,000 fields":           []byte(strings.Repeat("X-Y: z\n", 200_000) + "\nbody\n"),
		"From line only":           []byte("From a@b Sun Nov 22 01:14:52 2026"),
		"prose that begins From":   []byte("From here to eternity\n"),
		"jsonb and array poison":   []byte("Subject: \\u0000 {\"a\",NULL} \\\\ ' $1\nTo: \"{}\" <a{b@x>, \"NULL\"@x\n\n"),
		"dates out of any range":   []byte("Date: Mon, 1 Jan 99999 00:00:00 +9999\nDate: Mon, 1 Jan 0000 00:00:00 +0000\n\n"),
		"date before the calendar": []byte("Date: Mon, 1 Jan 0001 00:00:00 +1400\n\n"),
	} {
		delivery{dsn: dsn, args: []string{"-f", "s@x", "--", "bob@x.test"}, stdin: mail}.want(t, 0, "")
		sum := sha256.Sum256(mail)
		got := one[[]byte](t, conn, `select coalesce((select mailrow.raw(m.id) from mailrow.mail m where m.sha256 = $1 limit 1), 'not there')`, sum[:])
		if !bytes.Equal(got, mail) {
			t.Errorf("%s: %d bytes were stored as %d", name, len(mail), len(got))
		}
	}
	// What the views make of it may be wrong, but not an error.
	if n := one[int](t, conn, `select count(subject) + count(defects) from mailrow.mail`); n == 0 {
		t.Error("the view mail is empty")
	}
	if n := one[int](t, conn, `select count(length(value) + length(name)) from mailrow.headers`); n < 200_000 {
		t.Errorf("the view headers has %d rows", n)
	}
}

func TestLargeMail(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	limit := 64 << 20
	mail := append([]byte(sample), noise(limit-len(sample))...)
	cmd, said := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: mail}.command(t)
	if exit := exitOf(t, cmd.Run()); exit != 0 {
		t.Fatalf("exit %d, said %q", exit, said)
	}
	sum := sha256.Sum256(mail)
	if got := one[[]byte](t, conn, `select sha256(raw) from mailrow.messages`); !bytes.Equal(got, sum[:]) {
		t.Error("64 MiB were not stored exactly")
	}
	delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: append(mail, 'x')}.want(t, 69, "5.3.4 mailrow: message too large")
	wantRows(t, dsn, 1)
	small := delivery{dsn: dsn, args: []string{"--max-size=100B", "bob@x.test"}, stdin: []byte(strings.Repeat("x", 101))}
	small.want(t, 69, "5.3.4")
	small.stdin = small.stdin[:100]
	small.want(t, 0, "")
}

// The real and the odd mail of the corpus: every one stored, byte for byte.
func TestCorpus(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand processes are not short")
	}
	mails := deliverytest.Corpus(t, 1, 1)
	dsn := deliverytest.Database(t)
	want := make(map[string]bool)
	queue := make(chan []byte)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for mail := range queue {
				delivery{dsn: dsn, args: []string{"-f", "s@x", "--", "bob@x.test"}, stdin: mail}.want(t, 0, "")
			}
		})
	}
	for _, mail := range mails {
		queue <- mail.Raw
		exact, _ := message.SplitFromLine(mail.Raw)
		sum := sha256.Sum256(exact)
		want[hex.EncodeToString(sum[:])] = true
	}
	close(queue)
	workers.Wait()
	rows, err := connect(t, dsn).Query(context.Background(), `select encode(sha256(mailrow.raw(id)), 'hex') from mailrow.mail`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := 0
	for rows.Next() {
		var sum string
		if err := rows.Scan(&sum); err != nil {
			t.Fatal(err)
		}
		if !want[sum] {
			t.Errorf("a mail with SHA-256 %s is stored that was not sent", sum)
		}
		got++
	}
	if rows.Err() != nil || got != len(want) {
		t.Errorf("%d of %d mails are stored: %v", got, len(want), rows.Err())
	}
}

func TestOneMailFiftyTimesAtOnce(t *testing.T) {
	dsn := deliverytest.Database(t)
	together(t, 50, func(int) delivery {
		return delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte(sample)}
	})
	conn := connect(t, dsn)
	wantRows(t, dsn, 1)
	if again := one[int](t, conn, `select redelivered from mailrow.mail`); again != 49 {
		t.Errorf("redelivered %d, want 49", again)
	}
}

func TestFiftyMailsToOneMailboxAtOnce(t *testing.T) {
	cluster := pgtest.New(t, map[string]string{"log_lock_waits": "on", "deadlock_timeout": "5ms"})
	dsn := deliverytest.DatabaseOn(t, cluster)
	d := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 0, "")
	together(t, 50, func(i int) delivery {
		d := d
		d.stdin = []byte("N: " + strconv.Itoa(i) + "\n" + sample)
		return d
	})
	wantRows(t, dsn, 51)
	for line := range strings.Lines(cluster.Log()) {
		// Growing the file of a table is the server's own lock, and short.
		if strings.Contains(line, "still waiting for") && !strings.Contains(line, "extension of relation") {
			t.Errorf("a delivery waited: %s", line)
		}
	}
}

func together(t *testing.T, n int, make func(int) delivery) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { make(i).want(t, 0, "") })
	}
	all.Wait()
}

func TestWhereMailGoes(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	exec1(t, conn, `insert into mailrow.routes (pattern, account, mailbox) values
		('sales@x.test', 'sales team', null), ('sales+*@x.test', 'sales team', 'ext/*'), ('sales+vip@x.test', 'vip', null),
		('@y.test', 'y', 'All')`)
	for i, test := range []struct {
		args             []string
		account, mailbox string
	}{
		{[]string{"Bob@X.test"}, "bob@x.test", "INBOX"},
		{[]string{"bob+Lists@x.test"}, "bob@x.test", "INBOX"},
		{[]string{"--extension-mailbox", "bob+Lists@x.test"}, "bob@x.test", "lists"},
		{[]string{"--extension-mailbox", "bob+Inbox@x.test"}, "bob@x.test", "INBOX"},
		{[]string{"--extension-mailbox", "--mailbox=M", "bob@x.test"}, "bob@x.test", "M"},
		{[]string{"--mailbox=inbox", "bob@x.test"}, "bob@x.test", "INBOX"},
		{[]string{"--account=Archive", "bob@x.test"}, "Archive", "INBOX"},
		{[]string{"--account=Archive", "--mailbox=2026", "sales@x.test"}, "Archive", "2026"},
		{[]string{"--account=Archive"}, "Archive", "INBOX"},
		{[]string{"sales@x.test"}, "sales team", "INBOX"},
		{[]string{"Sales+Big@x.test"}, "sales team", "ext/big"},
		{[]string{"sales+vip@x.test"}, "vip", "INBOX"},
		{[]string{"anybody+a@y.test"}, "y", "All"},
		{[]string{"--extension=a", "--", "anybody+a@y.test"}, "y", "All"},
		{[]string{"--recipient-delimiter=-", "bob-lists@x.test"}, "bob@x.test", "INBOX"},
	} {
		// Twice: the first may make the account, the second finds it.
		for again := range 2 {
			mail := fmt.Appendf(nil, "N: %d.%d\n%s", i, again, sample)
			delivery{dsn: dsn, args: test.args, stdin: mail}.want(t, 0, "")
			sum := sha256.Sum256(mail)
			got := one[string](t, conn, `select account || ' ' || mailbox from mailrow.mail where sha256 = $1`, sum[:])
			if want := test.account + " " + test.mailbox; got != want {
				t.Errorf("%v: went to %s, want %s", test.args, got, want)
			}
		}
	}
}

func TestSeveralRecipients(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	exec1(t, conn, `insert into mailrow.routes (pattern, account) values ('a@x.test', 'team'), ('b@x.test', 'team')`)
	d := delivery{dsn: dsn, args: []string{"--original-recipient=A1@x.test", "--original-recipient=b1@x.test", "--original-recipient=c1@x.test",
		"--extension=", "--extension=", "--extension=e", "--", "a@x.test", "b@x.test", "c+e@x.test"}, stdin: []byte(sample)}
	for range 2 {
		d.want(t, 0, "")
	}
	got := one[string](t, conn, `select string_agg(concat_ws(' ', account, recipient, original_recipient, extension, redelivered), ', ' order by recipient) from mailrow.mail`)
	if want := "team a@x.test A1@x.test 1, team b@x.test b1@x.test 1, c@x.test c+e@x.test c1@x.test e 1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := one[int](t, conn, `select count(*) from mailrow.messages`); n != 2 {
		t.Errorf("%d messages, want one per account", n)
	}
}

func TestUnknownRecipients(t *testing.T) {
	dsn := deliverytest.Database(t)
	exec1(t, connect(t, dsn), `insert into mailrow.routes (pattern, account) values ('known@x.test', 'known')`)
	reject := func(to ...string) delivery {
		return delivery{dsn: dsn, args: append([]string{"--unknown=reject", "--"}, to...), stdin: []byte(sample)}
	}
	reject("nobody@x.test").want(t, 67, "5.1.1 mailrow: unknown recipient: nobody@x.test")
	reject("nobody@x.test", "none@x.test").want(t, 67, "5.1.1")
	wantRows(t, dsn, 0)
	reject("known@x.test").want(t, 0, "")
	// One status cannot refuse one of two: the known one is stored, once.
	reject("known@x.test", "nobody@x.test").want(t, 75, "4.1.1 mailrow: some recipients unknown: nobody@x.test")
	wantRows(t, dsn, 1)
	quiet := reject("nobody@x.test")
	quiet.args = append([]string{"--quiet"}, quiet.args...)
	if exit, said := quiet.run(t); exit != 67 || said != "" {
		t.Errorf("--quiet: exit %d, said %q", exit, said)
	}
}

func TestBatch(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	one1 := "MAIL FROM:<s@x>\nRCPT TO:<a@d.test>\nRCPT TO:<\"b c\"@d.test>\nDATA\nN: 1\n\n..\n.\n"
	two := "MAIL FROM:<>\nRCPT TO:<a@d.test>\nDATA\nN: 2\n\nbody\n.\n"
	batch := func(text string, flags ...string) delivery {
		return delivery{dsn: dsn, args: append([]string{"--bsmtp"}, flags...), stdin: []byte(text)}
	}
	batch(one1+two[:len(two)-2]).want(t, 75, "4.3.0 mailrow: cannot read the mail")
	wantRows(t, dsn, 2)
	batch(one1+two).want(t, 0, "")
	batch("").want(t, 0, "")
	batch(sample).want(t, 75, "4.5.2")
	batch(two, "--max-size=5B").want(t, 69, "5.3.4")
	batch(one1+strings.Replace(two, "body", strings.Repeat("x", 100), 1), "--max-size=50B").want(t, 75, "4.1.1")
	got := one[string](t, conn, `select string_agg(concat_ws(' ', recipient, sender, source, convert_from(mailrow.raw(id), 'UTF8'), redelivered), '|' order by recipient, size) from mailrow.mail`)
	if want := "\"b c\"@d.test s@x bsmtp N: 1\n\n.\n 2|a@d.test s@x bsmtp N: 1\n\n.\n 2|a@d.test  bsmtp N: 2\n\nbody\n 0"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// The bound of the issue for a mail by itself holds in a batch, too.
func TestMemoryOfABatch(t *testing.T) {
	dsn := deliverytest.Database(t)
	size := 48 << 20
	cmd, said := delivery{dsn: dsn, args: []string{"--bsmtp"},
		stdin: slices.Concat([]byte("MAIL FROM:<s@x>\nRCPT TO:<a@d.test>\nDATA\n"+sample), bytes.Repeat([]byte("a line of text\n"), size/15), []byte(".\n"))}.command(t)
	release := holdDeliveries(t, dsn)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitHeld(t, dsn, 1)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", childOf(t, cmd.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	release()
	if exit := exitOf(t, cmd.Wait()); exit != 0 {
		t.Fatalf("exit %d, said %q", exit, said)
	}
	var peak int // kB
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		t.Fatal(err)
	}
	if limit := 3*size + 16<<20; peak<<10 > limit {
		t.Errorf("%d MiB for a mail of %d MiB, want at most %d MiB", peak>>10, size>>20, limit>>20)
	}
}

// What the database or the role sets must not change how our text is read.
func TestEncodingOfTheRole(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	exec1(t, conn, `alter database `+pgx.Identifier{conn.Config().Database}.Sanitize()+` set client_encoding = 'LATIN1'`)
	delivery{dsn: dsn, args: []string{"-f", "jürgen@x.test", "bob@x.test"}, stdin: []byte("Subject: =?utf-8?q?h=C3=A9=E2=82=AC?=\n\n")}.want(t, 0, "")
	if got := one[string](t, conn, `select subject || ' ' || sender from mailrow.mail`); got != "hé€ jürgen@x.test" {
		t.Errorf("got %q", got)
	}
}

func TestNamesTooLongForAnIndex(t *testing.T) {
	dsn := deliverytest.Database(t)
	d := delivery{dsn: dsn, args: []string{"-f", strings.Repeat("s", 5000) + "@x", "--", strings.Repeat("é", 5000) + "+" + strings.Repeat("y", 5000) + "@x.test"}, stdin: []byte(sample)}
	d.want(t, 0, "")
	d.args = append([]string{"--extension-mailbox"}, d.args...)
	d.want(t, 0, "")
	wantRows(t, dsn, 2)
	if got := one[string](t, connect(t, dsn), `select defects::text from mailrow.mail limit 1`); !strings.Contains(got, "recipient-too-long") {
		t.Errorf("defects %s", got)
	}
}
