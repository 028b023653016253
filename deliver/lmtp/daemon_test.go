package lmtp_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/child"
	"mailrow/internal/deliverytest"
	"mailrow/internal/pgbouncertest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store/archive/archivetest"
)

// client is a mail server's side of a session.
type client struct {
	net.Conn
	in      *bufio.Reader
	greeted bool
}

func dial(socket string) (*client, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{Conn: conn, in: bufio.NewReader(conn)}, nil
}

// reply reads one reply, without what precedes its last line.
func (c *client) reply() (string, error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) > 3 && line[3] == ' ' {
			return strings.TrimSpace(line), err
		}
	}
}

// begin says all that comes before a mail. Its error says what was replied instead.
func (c *client) begin(to ...string) error {
	commands := []string{"MAIL FROM:<ann@row.test>"}
	if !c.greeted {
		commands, c.greeted = []string{"", "LHLO mta.test", commands[0]}, true
	}
	for _, recipient := range to {
		commands = append(commands, "RCPT TO:<"+recipient+">")
	}
	for _, command := range append(commands, "DATA") {
		if command != "" {
			fmt.Fprint(c, command+"\r\n") // an error comes with the reply
		}
		if reply, err := c.reply(); err != nil || reply[0] != '2' && reply[0] != '3' {
			return &notTaken{command, reply, err}
		}
	}
	return nil
}

// send sends a mail as far as its final dot.
func (c *client) send(raw string, to ...string) error {
	if err := c.begin(to...); err != nil {
		return err
	}
	_, err := io.WriteString(c, raw+".\r\n")
	return err
}

type notTaken struct {
	command, reply string
	err            error
}

func (e *notTaken) Error() string { return fmt.Sprintf("%s: %q, %v", e.command, e.reply, e.err) }

// deliver sends a mail, and wants it taken.
func deliver(t *testing.T, socket, raw string, to ...string) {
	t.Helper()
	c, err := dial(socket)
	if err == nil {
		defer c.Close()
		err = c.send(raw, to...)
	}
	if err != nil {
		t.Error(err)
		return
	}
	for range to {
		if reply, err := c.reply(); err != nil || !strings.HasPrefix(reply, "250 ") {
			t.Errorf("got %q, %v", reply, err)
		}
	}
}

func startDaemon(t *testing.T, flags ...string) (dsn string, daemon *deliverytest.Daemon) {
	t.Helper()
	dsn = deliverytest.Database(t)
	return dsn, deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn)), flags...)
}

// hold keeps deliveries from ending until the function it gives is called, and
// waits for one to begin.
func hold(t *testing.T, dsn string) (begun, release func()) {
	t.Helper()
	conn := archivetest.Connect(t, dsn)
	exec1 := func(sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec1("begin; lock table mailrow.messages")
	begun = func() {
		t.Helper()
		for range 1000 {
			if deliverytest.Rows(t, dsn, "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())")[0] != "0" {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("no delivery has begun")
	}
	return begun, func() { exec1("rollback") }
}

// Nobody hears that a mail was committed: the client has gone, or the daemon was
// killed before it could say so. The mail server sends it again, and it is one row.
func TestReplyThatNobodyHears(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, end := range map[string]func(*client, *deliverytest.Daemon){
		"client gone":   func(c *client, _ *deliverytest.Daemon) { c.Close() },
		"daemon killed": func(_ *client, d *deliverytest.Daemon) { d.Signal(syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn, daemon := startDaemon(t)
			const raw = "Subject: x\r\n\r\nhello\r\n"
			begun, release := hold(t, dsn)
			c, err := dial(daemon.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.send(raw, "bob@row.test", "eve@row.test"); err != nil {
				t.Fatal(err)
			}
			begun()
			end(c, daemon)
			c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if reply, err := c.reply(); err == nil {
				t.Errorf("heard %q", reply)
			}
			release()
			for range 1000 {
				if deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail")[0] == "2" {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			for range 100 { // a service manager starts it again
				if c, err := dial(daemon.Socket); err == nil {
					c.Close()
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			deliver(t, daemon.Socket, raw, "bob@row.test", "eve@row.test")
			got := deliverytest.Rows(t, dsn, "select recipient, redelivered, convert_from(mailrow.raw(id), 'UTF8') from mailrow.mail order by 1")
			if want := "[bob@row.test|1|" + raw + " eve@row.test|1|" + raw + "]"; fmt.Sprint(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Under a service manager that holds the socket, a restart refuses no client, and
// each that has come has its mail taken.
func TestRestartUnderServiceManager(t *testing.T) {
	t.Parallel() // it mostly waits
	dsn := deliverytest.Database(t)
	dir := scratch.ForTest(t)
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	program, config := deliverytest.Mailrow(t), deliverytest.Config(t, deliverytest.AsDeliverer(dsn))
	start := func() *child.Process {
		cmd := exec.Command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", program, "--config", config, "lmtp")
		cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{held}, log, log
		p, err := child.Start(cmd, syscall.SIGTERM)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	daemon := start()
	stop := make(chan struct{})
	var all sync.WaitGroup
	sent := make([]int, 6)
	for i := range sent {
		all.Go(func() {
			for ; ; sent[i]++ {
				select {
				case <-stop:
					return
				default:
				}
				c, err := dial(socket)
				if err != nil {
					t.Error(err)
					return
				}
				err = c.send(fmt.Sprintf("Subject: %d.%d\r\n\r\n", i, sent[i]), fmt.Sprintf("bob%d@row.test", i))
				reply := ""
				if err == nil {
					reply, err = c.reply()
				}
				c.Close()
				if err != nil || !strings.HasPrefix(reply, "250 ") {
					t.Errorf("mail %d.%d: %q, %v", i, sent[i], reply, err)
					return
				}
			}
		})
	}
	const restarts = 4
	for range restarts {
		time.Sleep(400 * time.Millisecond)
		if err := daemon.Stop(syscall.SIGTERM, time.Minute); err != nil {
			t.Error(err)
		}
		daemon = start()
	}
	time.Sleep(400 * time.Millisecond)
	close(stop)
	all.Wait()
	if err := daemon.Stop(syscall.SIGTERM, time.Minute); err != nil {
		t.Error(err)
	}
	total := 0
	for _, n := range sent {
		total += n
	}
	if got := deliverytest.Rows(t, dsn, "select count(*), sum(redelivered) from mailrow.mail"); got[0] != fmt.Sprintf("%d|0", total) {
		t.Errorf("%s rows, want %d", got[0], total)
	}
	t.Logf("%d mails over %d restarts", total, restarts)
	if text, _ := os.ReadFile(log.Name()); t.Failed() {
		t.Logf("daemon: %s", tail(string(text)))
	}
}

// More clients at once than there may be, some of them with large mails: those put off
// who try again get in, and none is refused.
func TestManyClientsWithLargeMails(t *testing.T) {
	dsn, daemon := startDaemon(t, "--connections", "4", "--clients", "10", "--memory", "128MiB")
	const clients = 200
	var all sync.WaitGroup
	var mu sync.Mutex
	put := map[string]int{}
	for i := range clients {
		size := 10 << 10
		if i%8 == 0 {
			size = 4 << 20
		}
		raw := fmt.Sprintf("Subject: %d\r\n\r\n", i) + strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78)
		all.Go(func() {
			for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
				reply, err := attempt(daemon.Socket, raw, fmt.Sprintf("m%d@row.test", i))
				mu.Lock()
				put[reply[:min(3, len(reply))]]++
				mu.Unlock()
				switch {
				case strings.HasPrefix(reply, "250"):
					return
				case strings.HasPrefix(reply, "5"), time.Now().After(deadline):
					t.Errorf("client %d: %q, %v", i, reply, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("replies: %v", put)
	if put["421"] == 0 {
		t.Error("no client was too many")
	}
	got := deliverytest.Rows(t, dsn, "select count(*), count(distinct recipient), sum(redelivered) from mailrow.mail")
	if want := fmt.Sprintf("%d|%[1]d|0", clients); got[0] != want {
		t.Errorf("got %s, want %s", got[0], want)
	}
}

// Behind a pooler in transaction mode mail is stored as well, also where nobody has
// said that it is there.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := pgtest.New(t, nil)
	for name, flags := range map[string][]string{"pooler": {"--pooler"}, "not said": nil} {
		t.Run(name, func(t *testing.T) {
			dsn := deliverytest.DatabaseOn(t, cluster)
			pooled := pgbouncertest.Start(t, cluster, map[string]string{"default_pool_size": "2"}).DSN(t, dsn)
			socket := deliverytest.StartDaemon(t, deliverytest.Config(t, pooled), flags...).Socket
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					for n := range 5 {
						deliver(t, socket, fmt.Sprintf("Subject: %d.%d\r\n\r\n", i, n), "bob@row.test")
					}
				})
			}
			all.Wait()
			if got := deliverytest.Rows(t, dsn, "select count(*), sum(redelivered) from mailrow.mail"); got[0] != "60|0" {
				t.Errorf("got %s", got[0])
			}
		})
	}
}

// When a standby is promoted in place of the server, the daemon finds it.
func TestFailover(t *testing.T) {
	t.Parallel() // it mostly waits
	primary := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, primary)
	standby := primary.Standby(t)
	u, err := url.Parse(deliverytest.AsDeliverer(dsn))
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{
		"host": {standby.SocketDir() + "," + primary.SocketDir()}, "port": {fmt.Sprintf("%d,%d", standby.Port(), primary.Port())},
		"target_session_attrs": {"read-write"},
	}.Encode()
	socket := deliverytest.StartDaemon(t, deliverytest.Config(t, u.String())).Socket
	deliver(t, socket, "Subject: before\r\n\r\n", "bob@row.test")
	standby.CatchUp(t, primary)
	primary.Stop(t, "immediate")
	if reply, err := attempt(socket, "Subject: meanwhile\r\n\r\n", "bob@row.test"); !strings.HasPrefix(reply, "4") {
		t.Errorf("without a primary: %q, %v", reply, err)
	}
	standby.Promote(t)
	deliver(t, socket, "Subject: meanwhile\r\n\r\n", "bob@row.test")
	got := deliverytest.Rows(t, standby.DSN("postgres", strings.TrimPrefix(u.Path, "/")), "select subject from mailrow.mail order by id")
	if fmt.Sprint(got) != "[before meanwhile]" {
		t.Errorf("got %q", got)
	}
}

// attempt sends one mail and gives the reply that decides about it.
func attempt(socket, raw, to string) (string, error) {
	c, err := dial(socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	var not *notTaken
	switch err := c.send(raw, to); {
	case errors.As(err, &not):
		return not.reply, not.err
	case err != nil:
		return "", err
	}
	return c.reply()
}

// What the commands say, and every byte, is in the row.
func TestRowOfAMail(t *testing.T) {
	t.Parallel() // it mostly waits
	dsn, daemon := startDaemon(t)
	const raw = "Subject: grüße\r\n\r\nlone \r and \n and \r\r\n.\r\n\x00\xff without an end"
	c, err := dial(daemon.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "LHLO mta.test\r\nXFORWARD NAME=client.test ADDR=IPv6:2001:db8::1 PROTO=ESMTP HELO=helo.test IDENT=4ABC\r\n"+
		"MAIL FROM:<sören@row.test> SIZE=%d BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=id+2B1\r\n"+
		"RCPT TO:<jörg@row.test> NOTIFY=FAILURE,DELAY ORCPT=utf-8;alias+40row.test\r\nRCPT TO:<eve+lists@row.test>\r\n"+
		"BDAT 20\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", len(raw), raw[:20], len(raw)-20, raw[20:])
	replies, err := io.ReadAll(c)
	if got := strings.Count(string(replies), "\r\n250 2.0.0 stored"); err != nil || got != 2 {
		t.Fatalf("%v: %s", err, replies)
	}
	got := deliverytest.Rows(t, dsn, `select d.recipient, d.sender, d.original_recipient, d.extension, d.client_address, d.client_name,
		d.client_helo, d.client_protocol, d.queue_id, d.source, d.dsn, encode(mailrow.raw(d.id), 'hex') from mailrow.deliveries d order by 1`)
	const envelope = "2001:db8::1|client.test|helo.test|ESMTP|4ABC|lmtp"
	want := []string{
		fmt.Sprintf("eve+lists@row.test|sören@row.test|NULL|lists|%s|RET=HDRS ENVID=id+1|%x", envelope, raw),
		fmt.Sprintf("jörg@row.test|sören@row.test|alias@row.test|NULL|%s|RET=HDRS ENVID=id+1 NOTIFY=FAILURE,DELAY|%x", envelope, raw),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
