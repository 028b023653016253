package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/poller/pollertest"
	"mailrow/store"
	"mailrow/store/archive/archivetest"
)

// smallDatabase is one of which some tables are on a full disk, until room is made.
func smallDatabase(t *testing.T, tables ...string) (dsn string, makeRoom func()) {
	t.Helper()
	cluster := pgtest.New(t, map[string]string{"fsync": "off"})
	dsn = deliverytest.DatabaseOn(t, cluster)
	small := pgtest.TablespaceOnTmpfs(t, cluster, 8)
	conn := archivetest.Connect(t, dsn)
	move := func(to string) {
		for _, table := range tables {
			if _, err := conn.Exec(context.Background(), "alter table mailrow."+table+" set tablespace "+to); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(small)
	if slices.Contains(tables, "imports") { // a row of which is not much
		exec := func(sql string, args ...any) error {
			_, err := conn.Exec(context.Background(), sql, args...)
			return err
		}
		err := exec(`create table ballast (b text) tablespace ` + small)
		for pages := 1000; err == nil && pages > 0; {
			if err = exec(`insert into ballast select repeat('x', 1900) from generate_series(1, 4 * $1)`, pages); store.TroubleOf(err) == store.TroubleDisk {
				pages, err = pages/10, nil
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dsn, func() { move("pg_default") }
}

// noisy are mails that no compression makes smaller.
func noisy(n int) (mails [][]byte) {
	random := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		mail := fmt.Appendf(nil, "Subject: %d\n\n", i)
		for range 40_000 {
			mail = append(mail, '!'+byte(random.IntN(90)))
		}
		mails = append(mails, append(mail, '\n'))
	}
	return mails
}

// said is what a program has said so far.
type said struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

// wait waits until it has said something.
func (s *said) wait(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.String(), what); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not say %q: %s", what, s)
		}
	}
}

// While the server's disk is full an import waits; when there is room it goes on.
func TestImportWhileServersDiskIsFull(t *testing.T) {
	const mails = 300
	for _, tables := range [][]string{{"messages", "deliveries"}, {"imports"}}[:needs.Times(1, 2)] {
		dsn, makeRoom := smallDatabase(t, tables...)
		path := filepath.Join(t.TempDir(), "box.mbox")
		var box bytes.Buffer
		for _, mail := range noisy(mails) {
			fmt.Fprintf(&box, "From joe@example.net Tue Mar  3 10:00:00 2026\n%s\n", mail)
		}
		write(t, path, box.String())
		cmd := importCommand(dsn, path)
		var out said
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		out.wait(t, "mailrow: waiting for the database: ")
		time.Sleep(time.Second)
		makeRoom()
		if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), fmt.Sprintf("%d stored, 0 already there, 0 in quarantine", mails)) {
			t.Errorf("%v: %v: %s", tables, err, &out)
		}
		if !strings.Contains(out.String(), ": make room on the disk of the server\n") {
			t.Errorf("said %s", &out)
		}
		rows := deliverytest.Rows(t, dsn, `
			select count(*), count(distinct m.subject), (select sum(i.mails) from mailrow.imports i) from mailrow.mail m`)
		if rows[0] != fmt.Sprintf("%d|%[1]d|%[1]d", mails) {
			t.Errorf("%v: %s mails", tables, rows)
		}
	}
}

// So does the poller, which takes nothing away meanwhile.
func TestWatchWhileServersDiskIsFull(t *testing.T) {
	dsn, makeRoom := smallDatabase(t, "messages", "deliveries", "source_messages")
	p, box := newPolls(t, dsn), pollertest.Maildir(t)
	const mails = 300
	box.Add(t, noisy(mails)...)
	p.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann", "--every", "1s")
	w := p.watch()
	p.wait(`select last_error like '%No space left on device%' from mailrow.source_status`, "t")
	left := len(box.Mails(t))
	stored := deliverytest.Rows(t, dsn, `select count(*) from mailrow.deliveries`)
	if left != mails {
		t.Errorf("%d mails are left while the disk is full, %s are stored", left, stored)
	}
	makeRoom()
	p.run("source", "resume", "box") // it would wait for its time
	p.wait(`select count(*) from mailrow.source_messages where state = 'done'`, fmt.Sprint(mails))
	if text := w.end(); strings.Count(text, "No space left on device") > 10 {
		t.Errorf("said %s", text)
	}
	p.rows(`select count(*), count(distinct message) from mailrow.deliveries`, fmt.Sprintf("%d|%[1]d", mails))
	if left := box.Mails(t); len(left) != 0 {
		t.Errorf("%d mails are left", len(left))
	}
}
