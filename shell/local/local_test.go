package local_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/shelltest"
	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
	"mailrow/shell/local"
	"mailrow/store/source"
)

func session(t testing.TB, uri string) *shelltest.Session {
	t.Helper()
	u, err := poller.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	src, err := kinds.Opener{}.Open(t.Context(), source.Source{}, u)
	if err != nil {
		t.Fatal(err)
	}
	box, err := local.New(t.Context(), src, u)
	if err != nil {
		t.Fatal(err)
	}
	return shelltest.New(t, box)
}

func mail(n int) []byte {
	return fmt.Appendf(nil, "From: Person %d <p%[1]d@x.test>\nTo: ann@x.test\nSubject: Größe %[1]d\nX-Tag: t%[1]d\n\nbody %[1]d\n", n)
}

func TestKinds(t *testing.T) {
	for name, kind := range map[string]struct {
		box    func(testing.TB) pollertest.Box
		noSeen bool
	}{
		"maildir": {box: pollertest.Maildir}, "mh": {box: pollertest.MH}, "mbox": {box: pollertest.Mbox},
		"mmdf": {box: pollertest.MMDF}, "babyl": {box: pollertest.Babyl},
	} {
		t.Run(name, func(t *testing.T) {
			box := kind.box(t)
			box.Add(t, mail(1), mail(2), mail(3))
			looking(t, box)
			changing(t, box)
		})
	}
}

// looking changes nothing.
func looking(t *testing.T, box pollertest.Box) {
	path := strings.SplitN(box.URI(), "://", 2)[1]
	before := state(t, path)
	s := session(t, box.URI())
	s.Do("list", "INBOX")
	s.Do("select INBOX", "folder INBOX has 3 mails")
	s.Do("status", "3 mails, ")
	s.Do("fetch", "Person 1", "Größe 3")
	s.Do("show 2", "Subject: Größe 2", "\nbody 2\n")
	s.Do("flags all", "UID  FLAGS")
	dir := t.TempDir()
	s.Do("save all "+dir, "mail 3 is in")
	if got, err := os.ReadFile(filepath.Join(dir, "3.eml")); err != nil || !bytes.Equal(got, mail(3)) {
		t.Errorf("%q, %v", got, err)
	}
	for criteria, want := range map[string]string{
		"": "1:3", "FROM p2@": "2", `SUBJECT "größe 3"`: "3", "BODY BODY": "1:3", "TEXT t1": "1", "HEADER x-tag t2": "2",
		"NOT FROM p2": "1,3", "LARGER 10 SMALLER 10000": "1:3", "TO ann NOT SUBJECT 1": "2:3",
	} {
		s.Do("search "+criteria, "found: "+want+"\n")
	}
	s.Do("search FROM nobody", "nothing found")
	s.Fail("search NONSENSE", "help search")
	s.Fail("search LARGER many x", "no number")
	s.Fail("search SINCE yesterday", "write 2026-01-31")
	s.Fail("raw x", "no server here")
	s.Fail("create x", "folders are files")
	s.Fail("select Nowhere", "Nowhere")
	s.Fail("dele all", "no folder is selected") // what goes on is not for the folder before
	s.Do("select INBOX", "INBOX has 3 mails")
	s.Fail("fetch 9", "there is no mail 9 in INBOX")
	s.Do("idle 10ms", "nothing has changed")
	s.JSON = true
	s.Do("fetch 1", `{"command":"fetch","line":1,"ok":true,"result":{"folder":"INBOX","mails":[{"uid":1,"id":"`, `"subject":"Größe 1"}]}}`)
	s.JSON = false
	if after := state(t, path); after != before {
		t.Errorf("looking has changed it:\n%s%s", before, after)
	}
}

// state is every file of a mailbox, its time and its size.
func state(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func changing(t *testing.T, box pollertest.Box) {
	s := session(t, box.URI())
	s.Do("fetch")
	s.Do(`flags 2 add \Seen`, `\Seen`)
	s.Fail(`flags 2 set \Flagged`, "only add")
	s.Fail("dele 2", "remove 1 mail from INBOX for good", "--yes")
	s.Yes = true
	s.Do("dele 2", "removed 1 mail")
	s.Fail("dele 2", "there is no mail 2")
	s.Do("show 3", "body 3") // keeps its number
	box.Add(t, mail(4))
	s.Do("show 4", "body 4")
	if left := box.Mails(t); len(left) != 3 {
		t.Errorf("%d are left", len(left))
	}
}

func TestFolders(t *testing.T) {
	box := pollertest.Maildir(t)
	box.Add(t, mail(1), mail(2))
	s := session(t, box.URI())
	s.Do(`move 1 "Old mail/2026"`, "moved 1 mail to Old mail/2026")
	s.Do("list", "Old mail/2026")
	s.Do(`select "Old mail/2026"; fetch`, "Größe 1")
	s.Fail("select *", "2 folders: name one")
	session(t, box.URI()+"?folder=Old%20mail/*").Do("fetch", "Größe 1")
}

func TestIdle(t *testing.T) {
	box := pollertest.Maildir(t)
	s := session(t, box.URI())
	s.Do("status", "0 mails")
	go func() {
		time.Sleep(100 * time.Millisecond)
		box.Add(t, mail(1))
	}()
	s.Do("idle 1m", "1 mail came, 0 gone")
	s.Do("search SINCE 2026-01-01 UNSEEN", "found: 1")
}
