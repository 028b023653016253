package lmtp

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// What a sender asks of notifications passes through mail servers that do not all
// look at it. However strange, it is no reason to refuse the mail.
func TestStrangeDSNParametersRefuseNothing(t *testing.T) {
	var b box
	got := codes(talk(t, newServer(&b), "LHLO m\r\nMAIL FROM:<> RET=SOME ENVID=+XX\r\n"+
		"RCPT TO:<a@row.test> ORCPT=nobody NOTIFY=\r\nRCPT TO:<b@row.test> ORCPT=rfc822;"+strings.Repeat("+C3+A4", 1200)+"\r\nDATA\r\n.\r\nQUIT\r\n"))
	if want := "220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0, 250 2.0.0, 221 2.0.0"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if m := b.mails[0]; m.Return != "SOME" || m.EnvelopeID != "+XX" || m.Recipients[0].Original != "" ||
		m.Recipients[1].Original != strings.Repeat("ä", 1200) {
		t.Errorf("got %+v", m)
	}
}

// A client that does not read its replies is not waited for in vain.
func TestDeafClientIsLeft(t *testing.T) {
	server := newServer(&box{})
	server.CommandTimeout = 100 * time.Millisecond
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeConn(theirs)
	}()
	go io.WriteString(ours, strings.Repeat("NOOP\r\n", 1000))
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the session waits for its client")
	}
}

// Who has just come, or is amid a mail, has that one mail taken before it is sent
// away: else the mail server would put it off for minutes.
func TestShutdownTakesTheMailOfWhoHasCome(t *testing.T) {
	for name, before := range map[string]string{
		"greeted":   "",
		"amid":      "LHLO m\r\nMAIL FROM:<>\r\n",
		"with RCPT": hello,
	} {
		t.Run(name, func(t *testing.T) {
			var b box
			server := newServer(&b)
			conn := dial(t, server)
			readUntil(t, conn, "220")
			if before != "" {
				io.WriteString(conn, before)
				readUntil(t, conn, "250 2.1")
			}
			if strings.Contains(before, "RCPT") {
				readUntil(t, conn, "250 2.1.5")
			}
			done := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
				defer cancel()
				done <- server.Shutdown(ctx)
			}()
			for !server.isClosing() {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
			whole := hello + "DATA\r\nx\r\n.\r\n"
			io.WriteString(conn, strings.TrimPrefix(whole, before)+"MAIL FROM:<>\r\n")
			rest, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			if got := codes(string(rest)); !strings.HasSuffix(got, "354, 250 2.0.0, 421 4.3.2") {
				t.Errorf("got %s", got)
			}
			if err := <-done; err != nil || len(b.mails) != 1 {
				t.Errorf("%d mails, %v", len(b.mails), err)
			}
		})
	}
}

// What comes of a mail that was given up is not taken for commands: it may hold some,
// and a mail for whoever its writer wants.
func TestRestOfASlowMailIsNoCommands(t *testing.T) {
	var b box
	server := newServer(&b)
	server.DataTimeout = 100 * time.Millisecond
	conn := dial(t, server)
	io.WriteString(conn, hello+"DATA\r\nSubject: slow\r\n\r\n")
	readUntil(t, conn, "354")
	time.Sleep(300 * time.Millisecond)
	io.WriteString(conn, strings.TrimPrefix(hello, "LHLO mta.test\r\n")+"DATA\r\nSubject: hidden\r\n\r\n.\r\nQUIT\r\n")
	got, _ := io.ReadAll(conn) // the end may come as a reset
	if len(b.mails) > 0 || strings.Contains(string(got), "250") {
		t.Errorf("%d mails, replies %q", len(b.mails), got)
	}
}
