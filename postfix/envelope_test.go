package postfix_test

import (
	"fmt"
	"net/textproto"
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
	}
}

// command is mailrow-deliver as a mail server calls it.
func command(t *testing.T, dsn string) string {
	t.Helper()
	return deliverytest.Program(t) + " --config=" + deliverytest.Config(t, deliverytest.AsDeliverer(dsn))
}

// macros are all that pipe(8) can say.
var macros = []string{
	"-f", "${sender}", "--original-recipient=${original_recipient}", "--extension=${extension}",
	"--client-address=${client_address}", "--client-helo=${client_helo}", "--client-name=${client_hostname}",
	"--client-protocol=${client_protocol}", "--sasl-username=${sasl_username}", "--queue-id=${queue_id}",
	"--size=${size}", "--", "${recipient}",
}

// service is another one of pipe(8), for the mail of other.test.
func service(flags string, argv ...string) (main, master string) {
	main = "virtual_mailbox_domains = other.test\nvirtual_transport = other\n"
	if strings.ContainsAny(flags, "DO") {
		main += "other_destination_recipient_limit = 1\n"
	}
	return main, fmt.Sprintf("other unix - n n - - pipe\n  flags=%s user=%s argv=%s\n", flags, mtatest.LocalUser, strings.Join(argv, " "))
}

func TestEnvelope(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	main, master := service("", run, "-f ${sender} -- ${recipient}")
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Aliases:        map[string]string{"list": `"|` + run + `"`, "box": "nobody+Fromlist@local.test"},
		Pipe:           append(strings.Fields(run), macros...), PipeFlags: "q",
		ExtraMain: main + "smtpd_authorized_xclient_hosts = 127.0.0.1\n" +
			"virtual_alias_maps = inline:{ {old@local.test=nobody+New@local.test} {old@row.test=new+x@row.test} }",
		ExtraMaster: master,
	})

	t.Run("local", func(t *testing.T) {
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
			{"", "box@local.test", "|nobody+Fromlist@local.test|box@local.test|Fromlist"},
		})
	})

	t.Run("macros", func(t *testing.T) {
		check(t, server, dsn, "postfix-pipe", []sending{
			{"s@sender.test", `"a\"b+x"@row.test`, `s@sender.test|"a\"b+x"@row.test|"a\"b+x"@row.test|x`},
			{"", "jüri+é@row.test", "|jüri+é@row.test|jüri+é@row.test|é"},
		})
		got := deliverytest.Rows(t, dsn, client+` group by 1`)
		if diff := cmp.Diff([]string{"127.0.0.1|helo.test|localhost|ESMTP|NULL"}, got); diff != "" {
			t.Error(diff)
		}
	})

	// Flags repeated per recipient keep to their recipient, whatever order
	// Postfix puts them in.
	t.Run("macros of several recipients", func(t *testing.T) {
		checkRun(t, server, dsn, "s@sender.test", []string{"zoe@row.test", "old@row.test", "bob+lists@row.test", `"a b+y"@row.test`}, []string{
			`postfix-pipe|s@sender.test|"a b+y"@row.test|"a b+y"@row.test|y`,
			`postfix-pipe|s@sender.test|bob+lists@row.test|bob+lists@row.test|lists`,
			`postfix-pipe|s@sender.test|new+x@row.test|old@row.test|x`,
			`postfix-pipe|s@sender.test|zoe@row.test|zoe@row.test|NULL`,
		})
	})

	// Without flags nothing is quoted, and nothing is above the mail.
	t.Run("no flags", func(t *testing.T) {
		checkRun(t, server, dsn, "", []string{"Bob+Ext@other.test", `"a b"@other.test`, "jüri@other.test", "carol@other.test"}, []string{
			`postfix-pipe||"a b"@other.test|NULL|NULL`,
			`postfix-pipe||Bob+Ext@other.test|NULL|Ext`,
			`postfix-pipe||carol@other.test|NULL|NULL`,
			`postfix-pipe||jüri@other.test|NULL|NULL`,
		})
		checkRun(t, server, dsn, `"x y"@h.test`, []string{"dave@other.test"}, []string{`postfix-pipe|"x y"@h.test|dave@other.test|NULL|NULL`})
	})

	t.Run("XCLIENT", func(t *testing.T) { checkClient(t, server, dsn) })

	// Mail submitted on the machine has no client.
	t.Run("sendmail", func(t *testing.T) {
		server.SendLocal(t, "", []string{"nobody@local.test", "bob@row.test"}, []byte("Subject: x\n\nbody\n"))
		for _, r := range server.WaitResults(t, 2, resultTimeout) {
			got := deliverytest.Rows(t, dsn, arrival+" where queue_id = $1 and recipient = $2", r.QueueID, r.Recipient)
			if r.Status != "sent" || len(got) != 1 || !strings.HasSuffix(got[0], "||"+r.Recipient+"|"+r.Recipient+"|NULL") {
				t.Errorf("%+v: %q", r, got)
			}
			got = deliverytest.Rows(t, dsn, client+" where queue_id = $1", r.QueueID)
			if diff := cmp.Diff([]string{"NULL|NULL|NULL|NULL|NULL", "NULL|NULL|NULL|NULL|NULL"}, got); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// checkRun sends a mail that Postfix delivers in one run.
func checkRun(t *testing.T, server *mtatest.PostfixServer, dsn, from string, to, want []string) {
	t.Helper()
	server.Send(t, from, to, fmt.Appendf(nil, forged, len(to)))
	results := server.WaitResults(t, len(to), resultTimeout)
	for _, r := range results {
		if r.Status != "sent" || r.QueueID != results[0].QueueID {
			t.Errorf("got %+v", r)
		}
	}
	// Rows of one transaction have one time.
	got := deliverytest.Rows(t, dsn, arrival+` where queue_id = $1 and received_at = (select max(received_at) from mailrow.deliveries)
		order by recipient collate "C"`, results[0].QueueID)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkClient sends as a client of another kind, which XCLIENT tells Postfix.
func checkClient(t *testing.T, server *mtatest.PostfixServer, dsn string) {
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
	// Nor can a client make the queue id its own.
	say(250, "EHLO x id FORGED y")
	say(250, "MAIL FROM:<s@sender.test>")
	say(250, "RCPT TO:<nobody@local.test>")
	say(354, "DATA")
	say(250, "Subject: x\r\n\r\nbody\r\n.")
	say(221, "QUIT")
	var queue []string
	for _, r := range server.WaitResults(t, 3, resultTimeout) {
		if r.Status != "sent" {
			t.Errorf("got %+v", r)
		}
		queue = append(queue, r.QueueID)
	}
	got := deliverytest.Rows(t, dsn, client+" where queue_id = any ($1::text[]) order by client_helo, source", "{"+strings.Join(queue, ",")+"}")
	want := []string{
		"192.0.2.7|[192.0.2.7]|client.example.net|ESMTP|who@example.net",
		"192.0.2.7|[192.0.2.7]|client.example.net|ESMTP|who@example.net",
		"192.0.2.7|x?id?FORGED?y|client.example.net|ESMTP|who@example.net",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each of pipe(8)'s flags.
func TestEnvelopeOfFlags(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	main, master := service("DORF.B>", run)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		Pipe: append(strings.Fields(run), macros...), PipeFlags: "DORXhu",
		ExtraMain:   main + "virtual_alias_maps = inline:{ {old@row.test=new+X@row.test} {old@other.test=new+X@other.test} }",
		ExtraMaster: master,
	})
	check(t, server, dsn, "postfix-pipe", []sending{
		// h and u change the arguments, as they are meant to; they win.
		{"s@sender.test", "Bob+Ext@ROW.test", "s@sender.test|bob+ext@row.test|bob+ext@row.test|ext"},
		{"", "bob@row.test", "|bob@row.test|bob@row.test|NULL"},
		{"søren@exämple.test", "old@row.test", "søren@exämple.test|new+x@row.test|old@row.test|x"},
		{`"x y;$(id)é"@h.test`, `"a b+c d"@row.test`, `"x y;$(id)é"@h.test|"a b+c d"@row.test|"a b+c d"@row.test|c d`},
		// No argument at all: what stands above the mail.
		{"s@sender.test", "Bob+Ext@other.test", "s@sender.test|Bob+Ext@other.test|Bob+Ext@other.test|Ext"},
		{"", "old@other.test", "|new+X@other.test|old@other.test|X"},
		{`"x y;$(id)é"@h.test`, `"a b"@other.test`, `"x y;$(id)é"@h.test|"a b"@other.test|"a b"@other.test|NULL`},
	})
}
