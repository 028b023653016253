package exim_test

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
)

// arrival is an envelope as its row has it.
const arrival = `select concat_ws('|', d.source, coalesce(d.sender, 'NULL'), d.recipient, coalesce(d.original_recipient, 'NULL'), coalesce(d.extension, 'NULL'))
	from mailrow.deliveries d`

// forged is a mail whose sender writes trace fields that only an MTA should.
const forged = "Return-Path: <forged@evil.test>\n" +
	"Delivered-To: forged@evil.test\nX-Original-To: forged@evil.test\nEnvelope-To: forged@evil.test\n" +
	"Received: by evil.test id FORGED; Thu, 1 Jan 2026 00:00:00 +0000\n" +
	"Message-Id: <%d@sender.test>\nFrom: s@sender.test\n\nbody\n"

// command is mailrow-deliver as a mail server calls it.
func command(t *testing.T, dsn string) string {
	t.Helper()
	return deliverytest.Program(t) + " --config=" + deliverytest.Config(t, deliverytest.AsDeliverer(dsn))
}

// router hands the mail of a domain to the transport of the same name.
func router(name, options string) string {
	return fmt.Sprintf("%[1]s:\n  driver = accept\n  domains = %[1]s.test\n  transport = %[1]s\n  %[2]s\n", name, options)
}

func transport(name, options string) string {
	return name + ":\n  driver = pipe\n  " + strings.ReplaceAll(options, "\n", "\n  ") + "\n"
}

const (
	recommended = "message_prefix =\nmessage_suffix =\nreturn_path_add\nenvelope_to_add"
	suffix      = "local_part_suffix = +*\n  local_part_suffix_optional"
)

func TestEnvelope(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := command(t, dsn)
	server := mtatest.StartExim(t, mtatest.Exim{
		// row.test has Exim's defaults: a From_ line and another LF at the end.
		Transport: "driver = pipe\ncommand = " + run,
		Router:    suffix,
		ExtraRouters: "alias:\n  driver = redirect\n  local_parts = old\n  data = New+X@$domain\n" +
			router("plain", "") + router("suffix", suffix) + router("bsmtp", "") + router("batch", ""),
		ExtraTransports: transport("plain", "command = "+run+"\n"+recommended) +
			transport("suffix", "command = "+run+"\n"+recommended+"\ndelivery_date_add") +
			transport("bsmtp", "command = "+run+" --bsmtp\nuse_bsmtp\nbatch_max = 100\nmessage_prefix =\nmessage_suffix =") +
			transport("batch", "command = "+run+" -- $pipe_addresses\nbatch_max = 100\n"+recommended),
	})
	tests := []struct {
		from string
		to   []string
		want []string // in order of recipient
	}{
		// Exim's environment has a recipient in lower case; Envelope-To has it
		// as the client wrote it.
		{"S@Sender.test", []string{"Bob+Ext@plain.test"}, []string{"exim-pipe|S@Sender.test|Bob+Ext@plain.test|Bob+Ext@plain.test|Ext"}},
		{"", []string{`"A b"@plain.test`, "carol@plain.test"}, []string{
			`exim-pipe||"A b"@plain.test|"A b"@plain.test|NULL`,
			`exim-pipe||carol@plain.test|carol@plain.test|NULL`}},
		{`"x y;$(id)é"@h.test`, []string{"Jüri@plain.test"}, []string{`exim-pipe|"x y;$(id)é"@h.test|Jüri@plain.test|Jüri@plain.test|NULL`}},
		{"s@sender.test", []string{"Old@plain.test"}, []string{"exim-pipe|s@sender.test|new+x@plain.test|Old@plain.test|x"}},

		{"søren@exämple.test", []string{"Bob+Ext+a@suffix.test"}, []string{"exim-pipe|søren@exämple.test|Bob+Ext+a@suffix.test|Bob+Ext+a@suffix.test|Ext+a"}},
		{"", []string{`"a b+c d"@suffix.test`}, []string{`exim-pipe||"a b+c d"@suffix.test|"a b+c d"@suffix.test|c d`}},
		{"", []string{"old@suffix.test"}, []string{"exim-pipe||new+x@suffix.test|old@suffix.test|x"}},

		{"", []string{"Bob+Ext@row.test"}, []string{"exim-pipe||bob+ext@row.test|NULL|ext"}},
		{`"x y"@h.test`, []string{`"A b+"@row.test`}, []string{`exim-pipe|"x y"@h.test|"a b+"@row.test|NULL|NULL`}},
		{"søren@exämple.test", []string{"jüri+é@row.test"}, []string{"exim-pipe|søren@exämple.test|jüri+é@row.test|NULL|é"}},

		{"", []string{"Bob+Ext@bsmtp.test", `"a b"@bsmtp.test`, "jüri@bsmtp.test", "old@bsmtp.test"}, []string{
			`bsmtp||"a b"@bsmtp.test|NULL|NULL`,
			`bsmtp||Bob+Ext@bsmtp.test|NULL|Ext`,
			`bsmtp||New+X@bsmtp.test|NULL|X`,
			`bsmtp||jüri@bsmtp.test|NULL|NULL`}},
		{`"x y>"@h.test`, []string{`"a>b"@bsmtp.test`}, []string{`bsmtp|"x y>"@h.test|"a>b"@bsmtp.test|NULL|NULL`}},

		{"s@sender.test", []string{"Bob+Ext@batch.test", `"a b"@batch.test`, "jüri@batch.test", "jüri@batch.test"}, []string{
			`exim-pipe|s@sender.test|"a b"@batch.test|NULL|NULL`,
			`exim-pipe|s@sender.test|Bob+Ext@batch.test|NULL|Ext`,
			`exim-pipe|s@sender.test|jüri@batch.test|NULL|NULL`}},
		{"", []string{"alone@batch.test"}, []string{"exim-pipe||alone@batch.test|NULL|NULL"}},
	}
	for i, test := range tests {
		server.Send(t, test.from, test.to, fmt.Appendf(nil, forged, i))
		var id string
		for _, r := range server.WaitResults(t, len(test.want), resultTimeout) {
			if id = r.QueueID; r.Status != "sent" {
				t.Errorf("%v: %+v", test.to, r)
			}
		}
		got := deliverytest.Rows(t, dsn, arrival+` where queue_id = $1 order by recipient collate "C"`, id)
		if diff := gocmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s to %v (-want +got):\n%s", test.from, test.to, diff)
		}
	}
	got := deliverytest.Rows(t, dsn, `select distinct right(encode(m.raw, 'escape'), 8) from mailrow.messages m
		join mailrow.deliveries d on d.message = m.id where d.recipient like '%@row.test'`)
	if diff := gocmp.Diff([]string{"\n\nbody\n\n"}, got); diff != "" {
		t.Errorf("with Exim's default message_suffix: %s", diff)
	}
}
