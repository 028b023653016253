package main

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgbouncertest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

// Whatever is wrong with the database ends in 75, and the next try in one row.

func TestDatabaseAway(t *testing.T) {
	d := delivery{dsn: "host=" + scratch.ForTest(t), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.0 mailrow: cannot reach the database")
	d.dsn = "postgres://bob:sesame@127.0.0.1:1/mail"
	if exit, said := d.run(t); exit != 75 || strings.Contains(said, "sesame") {
		t.Errorf("exit %d, said %q", exit, said)
	}
	d.dsn = "postgres://bob:sesame@127.0.0.1:port/mail"
	if exit, said := d.run(t); exit != 75 || strings.Contains(said, "sesame") || !strings.HasPrefix(said, "4.3.5") {
		t.Errorf("exit %d, said %q", exit, said)
	}
}

func TestDatabaseRestartsAmidDelivery(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	d := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte(sample)}
	for _, mode := range []string{"immediate", "fast", "kill"} {
		holdDeliveries(t, dsn)
		cmd, said := d.command(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitHeld(t, dsn, 1)
		cluster.Stop(t, mode)
		if exit := exitOf(t, cmd.Wait()); exit != 75 {
			t.Errorf("%s: exit %d, said %q", mode, exit, said)
		}
		d.want(t, 75, "4.3.0")
		cluster.Start(t)
		wantRows(t, dsn, 0)
	}
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}

func TestDatabaseOutOfConnections(t *testing.T) {
	cluster := pgtest.New(t, map[string]string{"max_connections": "6", "superuser_reserved_connections": "3"})
	dsn := deliverytest.DatabaseOn(t, cluster)
	admin := connect(t, dsn)
	exec1(t, admin, `create role mta login in role mailrow_deliver`)
	d := delivery{dsn: roleDSN(t, dsn, "mta"), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	held := connect(t, d.dsn)
	connect(t, d.dsn)
	d.want(t, 75, "4.3.2 mailrow: database has no free connection")
	// A slot that frees up while it tries is enough.
	go func() {
		time.Sleep(200 * time.Millisecond)
		held.Close(t.Context())
	}()
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}

func roleDSN(t *testing.T, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("user", role)
	u.User, u.RawQuery = url.User(role), query.Encode()
	return u.String()
}

func TestDatabaseReadOnlyStandby(t *testing.T) {
	primary := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, primary)
	standby := primary.Standby(t)
	standby.CatchUp(t, primary)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	d := delivery{dsn: standby.DSN("postgres", strings.TrimPrefix(u.Path, "/")), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.2 mailrow: database is read-only")
	wantRows(t, dsn, 0)
}

func TestDatabaseDeniesAccess(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	admin := connect(t, dsn)
	exec1(t, admin, `create role stranger login`)
	d := delivery{dsn: roleDSN(t, dsn, "stranger"), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.5 mailrow: database denied access")
	d.dsn = roleDSN(t, dsn, "nobody-at-all")
	d.want(t, 75, "4.3.5 mailrow: database denied access")
	exec1(t, admin, `grant mailrow_deliver to stranger`)
	d.dsn = roleDSN(t, dsn, "stranger")
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}

func TestDatabaseSchemaDoesNotFit(t *testing.T) {
	cluster := pgtest.Shared(t)
	d := delivery{dsn: cluster.Database(t), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.5 mailrow: database schema does not fit")
	d.dsn = deliverytest.Database(t)
	admin := connect(t, d.dsn)
	exec1(t, admin, `drop function mailrow_delivery.deliver, mailrow_delivery.deliver_one, mailrow_delivery.deliver_next`)
	d.want(t, 75, "run mailrow migrate")
	wantRows(t, d.dsn, 0)
	d.dsn = cluster.DSN("postgres", "no_such_database")
	d.want(t, 75, "4.3.5 mailrow: configuration error")
}

func TestDatabaseDiskFull(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	tablespace := pgtest.TablespaceOnTmpfs(t, cluster, 8)
	admin := connect(t, dsn)
	for _, table := range []string{"accounts", "mailboxes", "messages", "deliveries"} {
		exec1(t, admin, `alter table mailrow.`+table+` set tablespace `+tablespace)
	}
	d := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: append([]byte(sample), noise(12<<20)...)}
	d.want(t, 75, "4.3.1 mailrow: database disk full")
	wantRows(t, dsn, 0)
	for _, table := range []string{"accounts", "mailboxes", "messages", "deliveries"} {
		exec1(t, admin, `alter table mailrow.`+table+` set tablespace pg_default`) // the operator makes room
	}
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}

func TestDatabaseStatementTimeout(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	admin := connect(t, dsn)
	exec1(t, admin, `create role mta login in role mailrow_deliver; alter role mta set statement_timeout = '200ms'`)
	release := holdDeliveries(t, dsn)
	d := delivery{dsn: roleDSN(t, dsn, "mta"), args: []string{"bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.0 mailrow: database timeout")
	release()
	d.want(t, 0, "")
	wantRows(t, dsn, 1)
}

// The durability of a commit is not the role's to give away.
func TestCommitWaitsForDiskEvenWhereTheRoleDoesNot(t *testing.T) {
	dsn := deliverytest.Database(t)
	admin := connect(t, dsn)
	exec1(t, admin, `create table seen (setting text)`)
	exec1(t, admin, `create function note() returns trigger language plpgsql as
		$$ begin insert into public.seen values (current_setting('synchronous_commit')); return null; end $$`)
	exec1(t, admin, `grant insert on seen to mailrow_owner`)
	exec1(t, admin, `create trigger note after insert on mailrow.deliveries for each row execute function note()`)
	d := delivery{dsn: dsn + "&options=-csynchronous_commit%3Doff", args: []string{"bob@x.test"}}
	for _, mail := range []string{"A: 1\n", "A: 2\n"} { // first the general function, then the fast one
		d.stdin = []byte(mail)
		d.want(t, 0, "")
	}
	if got := one[string](t, admin, `select string_agg(setting, ' ') from seen`); got != "local local" {
		t.Errorf("synchronous_commit was %q", got)
	}
}

// A connection that is cut before, during or after COMMIT leaves the outcome
// unknown to us. It is known to the database, and asked again.
func TestConnectionCut(t *testing.T) {
	dsn := deliverytest.Database(t)
	stored := 0
	for _, cut := range []struct {
		name    string
		forward bool // whether the server gets the delivery
	}{
		{"before", false},
		{"after", true},
	} {
		for range 10 {
			mail := []byte("X: " + cut.name + strconv.Itoa(stored) + "\n" + sample)
			proxied := cutter(t, dsn, cut.forward)
			d := delivery{dsn: proxied, args: []string{"bob@x.test"}, stdin: mail}
			d.want(t, 75, "4.3.0")
			d.dsn = dsn
			d.want(t, 0, "")
			stored++
			wantRows(t, dsn, stored)
		}
	}
	wantRows(t, dsn, 20)
}

// cutter gives the DSN of a socket that leads to the server, until the client
// sends its delivery: that one is forwarded or not, and then the line is dead.
func cutter(t *testing.T, dsn string, forward bool) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	port := u.Port()
	if port == "" {
		port = query.Get("port")
	}
	target := filepath.Join(query.Get("host"), ".s.PGSQL."+port)
	dir := scratch.ForTest(t)
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("unix", target)
		if err != nil {
			return
		}
		defer server.Close()
		cutAtDelivery(client, server, forward)
	}()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	return u.String()
}

func cutAtDelivery(client, server net.Conn, forward bool) {
	var dead sync.WaitGroup
	stop := make(chan struct{})
	dead.Go(func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			select {
			case <-stop: // the answer is swallowed
				return
			default:
			}
			if _, werr := client.Write(buffer[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if bytes.Contains(buffer[:n], []byte("mailrow_delivery.deliver")) {
			close(stop)
			if forward {
				server.Write(buffer[:n])
				dead.Wait() // until the server has answered, after its commit
			}
			return
		}
		if _, werr := server.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

func TestPooledInTransactionMode(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	pooled := pgbouncertest.Start(t, cluster, nil).DSN(t, dsn)
	d := delivery{dsn: pooled, args: []string{"bob@x.test"}}
	for i := range 20 {
		d.stdin = []byte("N: " + strconv.Itoa(i) + "\n" + sample)
		d.want(t, 0, "")
	}
	d.want(t, 0, "")
	wantRows(t, dsn, 20)
}

func noise(n int) []byte {
	urandom, err := os.Open("/dev/urandom")
	if err != nil {
		panic(err)
	}
	defer urandom.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(urandom, b); err != nil {
		panic(err)
	}
	return b
}
