package postfix_test

import (
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
)

// arrival is an envelope as its row has it; of the client only what a test asks for.
const arrival = `select concat_ws('|', d.source, coalesce(d.sender, 'NULL'), d.recipient, coalesce(d.original_recipient, 'NULL'), coalesce(d.extension, 'NULL'))
	from mailrow.deliveries d`

const client = `select concat_ws('|', coalesce(host(d.client_address), 'NULL'), coalesce(d.client_helo, 'NULL'),
		coalesce(d.client_name, 'NULL'), coalesce(d.client_protocol, 'NULL'), coalesce(d.sasl_username, 'NULL'))
	from mailrow.deliveries d`

// forged is a mail whose sender writes trace fields that only an MTA should.
const forged = "Return-Path: <forged@evil.test>\n" +
	"Delivered-To: forged@evil.test\nX-Original-To: forged@evil.test\nEnvelope-To: forged@evil.test\n" +
	"Received: by evil.test id FORGED; Thu, 1 Jan 2026 00:00:00 +0000\n" +
	"Message-Id: <%d@sender.test>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nFrom: s@sender.test\n\nbody\n"

// sending is a mail and what its row must say.
type sending struct {
	from, to string
	want     string // sender|recipient|original|extension
}

// check sends each mail by itself, and compares its row with what is wanted
// and its queue id with the one in the log.
func check(t *testing.T, server *mtatest.PostfixServer, dsn, source string, mails []sending) {
	t.Helper()
	for i, m := range mails {
		server.Send(t, m.from, []string{m.to}, fmt.Appendf(nil, forged, i))
		r := server.WaitResults(t, 1, resultTimeout)[0]
		if r.Status != "sent" {
			t.Errorf("%s to %s: %+v", m.from, m.to, r)
			continue
		}
		got := deliverytest.Rows(t, dsn, arrival+` where queue_id = $1`, r.QueueID)
		if diff := cmp.Diff([]string{source + "|" + m.want}, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", m.from, m.to, diff)
		}
		got = deliverytest.Rows(t, dsn, client+` where queue_id = $1`, r.QueueID)
		if diff := cmp.Diff([]string{"127.0.0.1|helo.test|localhost|ESMTP|NULL"}, got); diff != "" && source == "postfix-local" {
			t.Errorf("%s to %s (-want +got):\n%s", m.from, m.to, diff)
		}
	}
	if rows := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail"); rows[0] != fmt.Sprint(len(mails)) {
		t.Errorf("%s rows of %d mails", rows[0], len(mails))
	}
}

// command is mailrow-deliver as a mail server calls it.
func command(t *testing.T, dsn string) string {
	t.Helper()
	return deliverytest.Program(t) + " --config=" + deliverytest.Config(t, deliverytest.AsDeliverer(dsn))
}

func TestEnvelopeOfLocal(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Aliases:        map[string]string{"list": `"|` + run + `"`, "box": "nobody+Fromlist@local.test"},
		ExtraMain:      "virtual_alias_maps = inline:{ {old@local.test=nobody+New@local.test} }",
	})
	check(t, server, dsn, "postfix-local", []sending{
		{"s@sender.test", "nobody@local.test", "s@sender.test|nobody@local.test|nobody@local.test|NULL"},
		{"", "nobody+Ext@local.test", "|nobody+Ext@local.test|nobody+Ext@local.test|Ext"},
		{"S+bounce=x@Sender.test", "NoBody+a+b@LOCAL.test", "S+bounce=x@Sender.test|NoBody+a+b@LOCAL.test|NoBody+a+b@LOCAL.test|a+b"},
		// Postfix writes "_" in the environment for each of these odd bytes.
		{`"x y;$(id)é"@h.test`, "nobody+é@local.test", `"x y;$(id)é"@h.test|nobody+é@local.test|nobody+é@local.test|é`},
		{"søren@exämple.test", `"nobody+a b"@local.test`, `søren@exämple.test|"nobody+a b"@local.test|"nobody+a b"@local.test|a b`},
		{`"<>"@h.test`, `"nobody+'\"\\"@local.test`, `"<>"@h.test|"nobody+'\"\\"@local.test|"nobody+'\"\\"@local.test|'"\`},
		// Before aliases and after them.
		{"s@sender.test", "old@local.test", "s@sender.test|nobody+New@local.test|old@local.test|New"},
		{"", "list@local.test", "|list@local.test|list@local.test|NULL"},
		{"søren@exämple.test", "List+Ex_t@local.test", "søren@exämple.test|List+Ex_t@local.test|List+Ex_t@local.test|Ex_t"},
	})

	// An alias for another address.
	server.Send(t, "", []string{"box@local.test"}, fmt.Appendf(nil, forged, 100))
	r := server.WaitResults(t, 1, resultTimeout)[0]
	got := deliverytest.Rows(t, dsn, arrival+` where queue_id = $1`, r.QueueID)
	if diff := cmp.Diff([]string{"postfix-local||nobody+Fromlist@local.test|box@local.test|Fromlist"}, got); diff != "" {
		t.Error(diff)
	}
}

// Several recipients in one run, and no flag at all: nothing is quoted, and
// nothing is above the mail.
func TestEnvelopeOfPipeWithoutFlags(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		Pipe: append(strings.Fields(command(t, dsn)), "-f", "${sender}", "--", "${recipient}"),
	})
	to := []string{"Bob+Ext@row.test", `"a b"@row.test`, "jüri@row.test", "carol@row.test"}
	server.Send(t, "", to, fmt.Appendf(nil, forged, 1))
	results := server.WaitResults(t, len(to), resultTimeout)
	for _, r := range results {
		if r.Status != "sent" || r.QueueID != results[0].QueueID {
			t.Errorf("got %+v", r)
		}
	}
	got := deliverytest.Rows(t, dsn, arrival+` where queue_id = $1 order by recipient collate "C"`, results[0].QueueID)
	want := []string{
		`postfix-pipe||"a b"@row.test|NULL|NULL`,
		`postfix-pipe||Bob+Ext@row.test|NULL|Ext`,
		`postfix-pipe||carol@row.test|NULL|NULL`,
		`postfix-pipe||jüri@row.test|NULL|NULL`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	server.Send(t, `"x y"@h.test`, []string{"dave@row.test"}, fmt.Appendf(nil, forged, 2))
	server.WaitResults(t, 1, resultTimeout)
	got = deliverytest.Rows(t, dsn, arrival+" where recipient = 'dave@row.test'")
	if diff := cmp.Diff([]string{`postfix-pipe|"x y"@h.test|dave@row.test|NULL|NULL`}, got); diff != "" {
		t.Error(diff)
	}
}

// macros are all that pipe(8) can say.
var macros = []string{
	"-f", "${sender}", "--original-recipient=${original_recipient}", "--extension=${extension}",
	"--client-address=${client_address}", "--client-helo=${client_helo}", "--client-name=${client_hostname}",
	"--client-protocol=${client_protocol}", "--sasl-username=${sasl_username}", "--queue-id=${queue_id}",
	"--size=${size}", "--", "${recipient}",
}

func TestEnvelopeOfPipe(t *testing.T) {
	mtatest.Need(t)
	for _, test := range []struct {
		flags, argv string // argv: "macros", or "" for what the fields above the mail say
		mails       []sending
	}{
		{"DORXhu", "macros", []sending{
			// h and u change the arguments, as they are meant to; they win.
			{"s@sender.test", "Bob+Ext@ROW.test", "s@sender.test|bob+ext@row.test|bob+ext@row.test|ext"},
			{"", "bob@row.test", "|bob@row.test|bob@row.test|NULL"},
			{"søren@exämple.test", "old@row.test", "søren@exämple.test|new+x@row.test|old@row.test|x"},
			{`"x y;$(id)é"@h.test`, `"a b+c d"@row.test`, `"x y;$(id)é"@h.test|"a b+c d"@row.test|"a b+c d"@row.test|c d`},
		}},
		{"DORq", "", []sending{
			{"s@sender.test", "Bob+Ext@row.test", "s@sender.test|Bob+Ext@row.test|Bob+Ext@row.test|Ext"},
			{"", "old@row.test", "|new+X@row.test|old@row.test|X"},
			{`"x y;$(id)é"@h.test`, `"a b"@row.test`, `"x y;$(id)é"@h.test|"a b"@row.test|"a b"@row.test|NULL`},
		}},
		{"DORF.B>", "", []sending{
			{"", "bob@row.test", "|bob@row.test|bob@row.test|NULL"},
			{`"x y"@h.test`, "carol@row.test", `"x y"@h.test|carol@row.test|carol@row.test|NULL`},
		}},
		{"q", "macros", []sending{
			{"s@sender.test", `"a\"b+x"@row.test`, `s@sender.test|"a\"b+x"@row.test|"a\"b+x"@row.test|x`},
			{"", "jüri+é@row.test", "|jüri+é@row.test|jüri+é@row.test|é"},
		}},
	} {
		t.Run(test.flags, func(t *testing.T) {
			dsn := deliverytest.Database(t)
			argv := strings.Fields(command(t, dsn))
			if test.argv == "macros" {
				argv = append(argv, macros...)
			}
			server := mtatest.StartPostfix(t, mtatest.Postfix{Pipe: argv, PipeFlags: test.flags,
				ExtraMain: "virtual_alias_maps = inline:{ {old@row.test=new+X@row.test} }"})
			check(t, server, dsn, "postfix-pipe", test.mails)
			want := []string{"127.0.0.1|helo.test|localhost|ESMTP|NULL"}
			if test.argv == "" {
				want = []string{"NULL|NULL|NULL|NULL|NULL"}
			}
			got := deliverytest.Rows(t, dsn, client+` group by 1`)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Flags repeated per recipient keep to their recipient, whatever order
// Postfix puts them in.
func TestPipeFlagsOfSeveralRecipients(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		Pipe: append(strings.Fields(command(t, dsn)), macros...), PipeFlags: "q",
		ExtraMain: "virtual_alias_maps = inline:{ {old@row.test=new+x@row.test} }",
	})
	to := []string{"zoe@row.test", "old@row.test", "bob+lists@row.test", `"a b+y"@row.test`}
	server.Send(t, "s@sender.test", to, fmt.Appendf(nil, forged, 1))
	for _, r := range server.WaitResults(t, len(to), resultTimeout) {
		if r.Status != "sent" {
			t.Errorf("got %+v", r)
		}
	}
	got := deliverytest.Rows(t, dsn, arrival+` order by recipient collate "C"`)
	want := []string{
		`postfix-pipe|s@sender.test|"a b+y"@row.test|"a b+y"@row.test|y`,
		`postfix-pipe|s@sender.test|bob+lists@row.test|bob+lists@row.test|lists`,
		`postfix-pipe|s@sender.test|new+x@row.test|old@row.test|x`,
		`postfix-pipe|s@sender.test|zoe@row.test|zoe@row.test|NULL`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if runs := regexp.MustCompile(`pipe\[\d+\]: \w+: to=`).FindAllString(server.Log(), -1); len(slices.Compact(runs)) != 1 {
		t.Errorf("not one run: %q", runs)
	}
}

// A client of another kind, as XCLIENT tells Postfix.
func TestClient(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Pipe:           append(strings.Fields(run), macros...), PipeFlags: "q",
		ExtraMain: "smtpd_authorized_xclient_hosts = 127.0.0.1",
	})
	conn, err := textproto.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(want int, line string) {
		t.Helper()
		if line != "" {
			if err := conn.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := conn.ReadResponse(want); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	say(220, "")
	say(250, "EHLO x")
	say(220, "XCLIENT NAME=client.example.net ADDR=192.0.2.7 LOGIN=who@example.net")
	say(250, "EHLO [192.0.2.7]")
	say(250, "MAIL FROM:<s@sender.test>")
	say(250, "RCPT TO:<bob@row.test>")
	say(250, "RCPT TO:<nobody@local.test>")
	say(354, "DATA")
	say(250, "Subject: x\r\n\r\nbody\r\n.")
	say(221, "QUIT")
	for _, r := range server.WaitResults(t, 2, resultTimeout) {
		if r.Status != "sent" {
			t.Errorf("got %+v", r)
		}
	}
	got := deliverytest.Rows(t, dsn, client+" order by source")
	want := []string{
		"192.0.2.7|[192.0.2.7]|client.example.net|ESMTP|who@example.net",
		"192.0.2.7|[192.0.2.7]|client.example.net|ESMTP|who@example.net",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Mail submitted on the machine has no client.
func TestLocalSubmission(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Pipe:           append(strings.Fields(run), macros...), PipeFlags: "q",
	})
	server.SendLocal(t, "", []string{"nobody@local.test", "bob@row.test"}, []byte("Subject: x\n\nbody\n"))
	for _, r := range server.WaitResults(t, 2, resultTimeout) {
		got := deliverytest.Rows(t, dsn, arrival+" where queue_id = $1 and recipient = $2", r.QueueID, r.Recipient)
		if r.Status != "sent" || len(got) != 1 || !strings.HasSuffix(got[0], "||"+r.Recipient+"|"+r.Recipient+"|NULL") {
			t.Errorf("%+v: %q", r, got)
		}
	}
	got := deliverytest.Rows(t, dsn, client+" order by source")
	if diff := cmp.Diff([]string{"NULL|NULL|NULL|NULL|NULL", "NULL|NULL|NULL|NULL|NULL"}, got); diff != "" {
		t.Error(diff)
	}
}
