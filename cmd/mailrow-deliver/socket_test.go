package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

// throughDaemon is a delivery that can only succeed through a daemon.
func throughDaemon(t *testing.T, socket string, args ...string) delivery {
	t.Helper()
	nowhere := "host=" + scratch.ForTest(t)
	return delivery{dsn: nowhere, args: append([]string{"--socket", socket}, args...), stdin: []byte(sample)}
}

func TestDaemonTakesOver(t *testing.T) {
	dsn := deliverytest.Database(t)
	daemon := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn)))
	d := throughDaemon(t, daemon.Socket, "bob@x.test")
	d.want(t, 0, "")
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
	throughDaemon(t, daemon.Socket, "--unknown", "reject", "carl@x.test").want(t, 67, "5.1.1 mailrow: unknown recipient: carl@x.test")
	throughDaemon(t, daemon.Socket, "--unknown", "reject", "carl@x.test", "bob@x.test").want(t, 75, "4.1.1")
	throughDaemon(t, daemon.Socket, "--max-size", "10", "bob@x.test").want(t, 69, "5.3.4")
	throughDaemon(t, daemon.Socket).want(t, 75, "4.3.5 mailrow: no recipient")
	batch := throughDaemon(t, daemon.Socket, "--bsmtp")
	batch.stdin = []byte("MAIL FROM:<>\nRCPT TO:<dora@x.test>\nDATA\nSubject: 1\n.\nMAIL FROM:<>\nRCPT TO:<dora@x.test>\nDATA\nSubject: 2\n.\n")
	batch.want(t, 0, "")
	wantRows(t, dsn, 3)
}

// Whichever way a mail goes, its row is the same.
func TestDaemonStoresWhatTheProgramWould(t *testing.T) {
	direct, handed := deliverytest.Database(t), deliverytest.Database(t)
	daemon := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(handed)))
	const row = `select d.source, d.sender, d.recipient, d.original_recipient, d.extension, d.client_address, d.client_helo,
		d.client_name, d.client_protocol, d.sasl_username, d.queue_id, d.flags, d.defects, a.name, b.name, encode(m.sha256, 'hex')
		from mailrow.deliveries d join mailrow.messages m on m.id = d.message
		join mailrow.accounts a on a.account_id = d.account_id
		join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox order by d.recipient`
	tests := map[string]delivery{
		"arguments": {args: []string{"-f", "ann@x.test", "--client-address", "192.0.2.1", "--client-helo", "helo", "--client-name", "name",
			"--client-protocol", "ESMTP", "--sasl-username", "ann", "--queue-id", "4X", "--extension-mailbox", "--original-recipient", "list@x.test",
			"--extension", "lists", "bob+lists@x.test"}, stdin: []byte(sample)},
		"bytes that are no text": {args: []string{"-f", "s\xf8ren@x.test", "--client-helo", "\xff", "b\xe9b@x.test", "b\xeab@x.test"}, stdin: []byte(sample)},
		"From_ line and trace":   {stdin: []byte("From ann@x.test  Sun Nov 22 10:00:00 2026\nReturn-Path: <ann@x.test>\nDelivered-To: eve@x.test\n" + sample)},
		"null sender, no mail":   {args: []string{"-f", "", "--account", "box", "--mailbox", "Archive"}, stdin: nil},
		"postfix":                {env: []string{"MAIL_CONFIG=/etc/postfix", "SENDER=a@x.test", "RECIPIENT=fay@x.test", "ORIGINAL_RECIPIENT=f@x.test", "LOCAL=fay", "USER=fay"}, stdin: []byte(sample)},
	}
	for name, d := range tests {
		t.Run(name, func(t *testing.T) {
			over := d
			d.dsn = direct
			d.want(t, 0, "")
			over.dsn, over.args = "host="+scratch.ForTest(t), append([]string{"--socket", daemon.Socket}, d.args...)
			over.want(t, 0, "")
			want, got := deliverytest.Rows(t, direct, row), deliverytest.Rows(t, handed, row)
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Errorf("direct and handed over differ: %s", diff)
			}
		})
	}
}

func TestWithoutDaemonTheProgramStoresItself(t *testing.T) {
	dsn := deliverytest.Database(t)
	dir := scratch.ForTest(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for i, socket := range []string{filepath.Join(dir, "missing"), file} {
		d := delivery{dsn: dsn, args: []string{"--socket", socket, "bob@x.test"}, stdin: []byte(sample + strings.Repeat("x", i))}
		d.want(t, 0, "")
	}
	wantRows(t, dsn, 2)
	throughDaemon(t, file, "bob@x.test").want(t, 75, "4.3.0 mailrow: cannot reach the database")
}

func TestDaemonInTrouble(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	daemon := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn)))
	holdDeliveries(t, dsn)
	d := delivery{dsn: dsn, args: []string{"--socket", daemon.Socket, "bob@x.test"}, stdin: []byte(sample)}
	cmd, said := d.command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitHeld(t, dsn, 1)
	daemon.Signal(syscall.SIGKILL) // the program goes on by itself
	waitHeld(t, dsn, 1)
	cluster.Stop(t, "fast")
	if exit := exitOf(t, cmd.Wait()); exit != 75 {
		t.Errorf("exit %d, said %q", exit, said)
	}
	d.want(t, 75, "")
	cluster.Start(t)
	wantRows(t, dsn, 0)
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}
