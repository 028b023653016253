package imap_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/shelltest"
	poll "mailrow/poller/imap"
	"mailrow/shell/imap"
)

func open(t testing.TB, addr string) *shelltest.Session {
	t.Helper()
	var conf poll.Config
	conf.Server, conf.Credentials = shelltest.At(t, addr)
	box := imap.New(conf)
	if err := box.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return shelltest.New(t, box)
}

// mails are some, from people of one name each.
func mails(n int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, "From: Person %d <p%[1]d@x.test>\r\nTo: ann@x.test\r\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?= %[1]d\r\nMessage-ID: <%[1]d@x.test>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100\r\n\r\nbody %[1]d\r\n", i+1))
	}
	return all
}

func TestFolders(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{Extra: dovecottest.Extensions})
	server.Append(t, dovecottest.User, "INBOX", mails(2)...)
	s := open(t, server.IMAP)
	s.Do("capability", "IMAP4REV1\n", "UIDPLUS\n")
	s.Do("list", "INBOX")
	s.Do(`create "Größe & mehr/a b"`, "made folder Größe & mehr/a b")
	s.Do("list", "Größe & mehr/a b")
	s.Do("list Größe*", "Größe & mehr")
	s.JSON = true
	s.Do(`list "*/a b"`, `{"folders":[{"name":"Größe & mehr/a b","wire":"Gr&APYA3w-e &- mehr/a b","delimiter":"/","attributes":["\\hasnochildren"]}]}`)
	s.JSON = false
	s.Do(`status "Größe & mehr/a b"`, "has 0 mails, 0 unseen")
	s.Do(`status "Gr&APYA3w-e &- mehr/a b"`, "has 0 mails") // as the server spells it
	s.Do("lsub", "Größe & mehr/a b")
	s.Do(`unsubscribe "Größe & mehr/a b"`)
	if out := s.Do("lsub"); strings.Contains(out, "a b") {
		t.Error(out)
	}
	s.Do(`subscribe "Größe & mehr/a b"`)
	s.Do(`select "Größe & mehr/a b"`, "has 0 mails")
	s.Do(`rename "Größe & mehr/a b" 漢字`, "folder Größe & mehr/a b is now 漢字")
	s.Do("status", "folder 漢字 has 0 mails")
	s.Fail("create 漢字", "there is a folder")
	s.Fail("rename INBOX 漢字", "there is a folder")
	s.Fail("select Nowhere", "there is no folder", "create makes one")
	s.Fail("delete 漢字", "delete folder 漢字 with 0 mails", "run it with --yes")
	s.Yes = true
	s.Do("delete 漢字", "deleted folder 漢字")
	s.Fail("fetch", "no folder is selected")
	s.Fail("delete 漢字", "there is no folder")
	if got := server.Session(t, dovecottest.User).Do(`LIST "" *`); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	s.Do("namespace", `our own folders begin with "", and their levels are divided by "/"`, "there are no shared folders")
	s.Do("quota INBOX", "used of 10 MB (storage)", "2 used of 100 (message)")
	s.Do("acl INBOX", "we may ", "WHO")
	s.Do("acl INBOX bob lr", "bob ")
	if out := s.Do(`acl INBOX bob ""`); strings.Contains(out, "bob") {
		t.Error(out)
	}
	s.Fail("acl INBOX bob", "is missing")
	s.Fail("stat", "status counts the mails")
	s.Fail("nonsense", "help lists them")
	s.Fail("select", "write select FOLDER")
	s.Fail(`select "INBOX`, "quotation mark")
	s.Do("help select", "select FOLDER", "Open a folder.")
	s.Do("help", "append FOLDER FILE", "unsubscribe FOLDER")
	s.Fail("help quux", "no such command")
	s.Do("logout", "logged out")
	s.Fail("noop", "logged out: login logs in again")
	s.Do("login", "logged in")
	s.Do("login", "already logged in")
	s.Do("noop", "the server answers")
}

func TestMails(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(5)...)
	s := open(t, server.IMAP)
	s.Do("select inbox", "folder INBOX has 5 mails")
	s.Do("fetch", "UID  DATE", "Person 1", "Größe 5")
	s.Do("search FROM p3", "1 mail found: 3")
	s.Do("fetch found", "Größe 3")
	s.Do(`search SUBJECT "größe" UNSEEN`, "5 mails found: 1:5")
	s.Do("search SUBJECT nothing", "nothing found")
	s.Fail("fetch found", "nothing was found: search first")
	s.Fail("search UNSEN", "UNSEN")
	s.Fail("fetch 9:*", "there is no mail 9:* in INBOX")
	s.Fail("fetch 1-2", "names no mails")
	s.Do("fetch *", "Größe 5")

	s.Do("show 2", "From: Person 2 <p2@x.test>\nTo: ann@x.test\nSubject: Größe 2\n", "\nbody 2\n")
	s.Do("show 2 headers", "Message-ID: <2@x.test>")
	s.Do("show 2 raw", "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?= 2\n")
	s.Fail("show 2 nonsense", "none of headers, html, raw")
	s.Fail("show 1:2", "name one")
	s.Do("search UNSEEN", "5 mails found")

	s.Do(`flags 1:2,4 add \Seen $work`, `$work`)
	s.Do("flags 2", `\Seen`)
	s.Do(`flags 2 remove \Seen`)
	s.Do("flags 4 set")
	s.Fail(`flags 1 add`, "write flags UIDS add")
	s.Fail(`flags 1 grow \Seen`, "write flags UIDS add")
	s.Fail(`flags 1 add "a b"`, "is no flag")
	s.Fail(`flags 9 add \Seen`, "there is no mail 9")
	want := []string{`\Seen $work`, "$work", "", "", ""}
	for i, m := range server.Mails(t, dovecottest.User, "INBOX") {
		if m.Flags != want[i] {
			t.Errorf("mail %d has %q, want %q", i+1, m.Flags, want[i])
		}
	}

	dir := t.TempDir()
	s.Do("save 1 "+filepath.Join(dir, "one"), "mail 1 is in")
	s.Do("save all "+dir, "5.eml")
	s.Fail("save 1 "+filepath.Join(dir, "one"), "file exists", "name another")
	for name, want := range map[string][]byte{"one": mails(1)[0], "5.eml": mails(5)[4]} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	s.Do("create Done")
	s.Do("copy 1:2 Done", "copied 2 mails to Done, where the UIDs are 1:2")
	s.Do("move 3 Done", "moved 1 mail to Done, where the UIDs are 3")
	s.Fail("move 1 INBOX", "in that folder already")
	s.Fail("copy 1 Nowhere", "there is no folder")
	s.Fail("expunge 1", "is not marked")
	s.Do(`flags 1 add \Deleted`)
	s.Do(`flags 4 add \Deleted`)
	s.Fail("expunge 1", "remove 1 mail from INBOX for good", "--yes")
	s.Yes = true
	s.Do("expunge 1", "removed 1 mail")
	s.Do("examine INBOX", "to be read only")
	s.Fail("expunge", "opened by examine")
	s.Fail(`flags 4 add \Seen`, "opened by examine")
	s.Do("select INBOX")
	s.Do("expunge", "removed 1 mail")
	s.Do("expunge", "removed 0 mails")
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 || left[0].UID != 2 || left[1].UID != 5 {
		t.Errorf("left: %v", left)
	}
	if there := server.Mails(t, dovecottest.User, "Done"); len(there) != 3 || !bytes.Equal(there[2].Raw, mails(3)[2]) {
		t.Errorf("Done: %v", there)
	}
}

func TestAppend(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	s := open(t, server.IMAP)
	file := filepath.Join(t.TempDir(), "a mail")
	for text, want := range map[string]string{
		"From x@x.test Tue Mar  3 10:00:00 2026\nSubject: lf\n\n\x80.\nend": "Subject: lf\r\n\r\n\x80.\r\nend",
		"Subject: crlf\r\n\r\nend\r\n":                                      "Subject: crlf\r\n\r\nend\r\n",
		"Subject: short":                                                    "Subject: short",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Do(`append INBOX "`+file+`" \Seen $work date=2026-01-31T10:00:00+01:00`, "into INBOX as UID")
		all := server.Mails(t, dovecottest.User, "INBOX")
		if got := all[len(all)-1]; string(got.Raw) != want || strings.Join(strings.Fields(got.Flags), " ") != `\Seen $work` {
			t.Errorf("%q became %q, flags %q", text, got.Raw, got.Flags)
		}
	}
	s.Do("select INBOX")
	s.JSON = true
	s.Do("fetch 1", `"received_at":"2026-01-31T09:00:00Z"`)
	s.JSON = false
	s.Fail(`append INBOX "`+file+`" date=yesterday`, "write 2026-01-31")
	s.Fail("append INBOX /nonexistent", "no such file")
	s.Fail(`append Nowhere "`+file+`"`, "there is no folder")
	for _, text := range []string{"", "no mail at all\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Fail(`append INBOX "`+file+`"`, "read mail ")
	}
}

func TestIdleAndNews(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	s := open(t, server.IMAP)
	s.Do("select INBOX")
	s.JSON = true
	go func() {
		time.Sleep(300 * time.Millisecond)
		server.Append(t, dovecottest.User, "INBOX", mails(1)...)
	}()
	s.Do("idle", `"events":[{"kind":"exists","number":1}`)
	s.Do("idle 100ms", `"ok":true`)
	s.Do("noop")
	server.Append(t, dovecottest.User, "INBOX", mails(1)...)
	s.Do("noop", `{"kind":"exists","number":2}`)
	s.JSON = false
	s.Fail("idle soon", "write 30s")
	s.Do("fetch 2", "Größe 1")
}

func TestRaw(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(1)...)
	s := open(t, server.IMAP)
	s.Do(`raw STATUS "INBOX" (MESSAGES)`, "* STATUS INBOX (MESSAGES 1)", " OK ")
	s.Do("raw A1 NOOP", " OK ")
	s.Do("select INBOX")
	s.Do("raw FETCH 1 (UID BODY.PEEK[])", "* 1 FETCH (UID 1 BODY[] {", "\nbody 1\n)\n")
	s.Do("raw FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "\nSubject: =?utf-8?q?")
	s.Fail("raw NONSENSE x", "BAD")
	s.Fail("raw APPEND x {3}", "append does that")
	s.Fail("raw STATUS {3}", "write a quoted string")
	for _, line := range []string{"LOGIN ann hunter2", "a1 login ann hunter2", "AUTHENTICATE PLAIN", "IDLE", "STARTTLS", "CLOSE"} {
		s.Fail("raw "+line, "is not sent")
	}
	s.Fail("raw A1", "write a command")
	s.Fail("raw UID EXPUNGE 1", "--yes")
	s.Do("fetch 1", "Größe 1")
}

// What programs get of each command.
func TestJSON(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(1)...)
	s := open(t, server.IMAP)
	s.JSON, s.Yes, s.KeepGoing = true, true, true
	out, failed := s.Try("select Nowhere", "select INBOX; search ALL", "flags 1 add $x; show 1", "", `raw STATUS INBOX (MESSAGES)`, "create x", "delete x")
	validity := server.Session(t, dovecottest.User).Do("STATUS INBOX (UIDVALIDITY)")[0]
	validity = strings.Trim(validity[strings.LastIndexByte(validity, ' '):], " )")
	want := strings.NewReplacer("VALIDITY", validity).Replace(`{"command":"select","line":1,"ok":false,"error":{"text":"there is no folder \"Nowhere\": list shows them, create makes one"}}
{"command":"select","line":2,"ok":true,"result":{"folder":"INBOX","mails":1,"permanent_flags":["\\Answered","\\Flagged","\\Deleted","\\Seen","\\Draft","\\*"],"read_only":false,"uidnext":2,"uidvalidity":VALIDITY}}
{"command":"search","line":2,"ok":true,"result":{"count":1,"folder":"INBOX","uids":"1"}}
{"command":"flags","line":3,"ok":true,"result":{"folder":"INBOX","mails":[{"uid":1,"flags":["$x"]}]}}
`)
	if !failed || !strings.HasPrefix(out, want) {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	for _, want := range []string{
		`{"command":"show","line":3,"ok":true,"result":{"uid":1,"size":`,
		`"from":"Person 1 <p1@x.test>","to":"ann@x.test","subject":"Größe 1","message_id":"1@x.test","header":[{"name":"From","value":"Person 1 <p1@x.test>"},`,
		`"files":[],"text":"body 1\n"}}`,
		`{"command":"raw","line":5,"ok":true,"result":{"lines":["* STATUS INBOX (MESSAGES 1)","a`,
		`{"command":"delete","line":7,"ok":true,"result":{"folder":"x","mails":0}}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	s.Do("status INBOX", `"folder":"INBOX",`, `"mails":1,`, `"unseen":1}}`)
	out, _ = s.Try("raw SELECTED x", "copy 1 Nowhere")
	if strings.Count(out, `"ok":false`) != 2 {
		t.Error(out)
	}
}

// A script stops at the first failure.
func TestScriptStops(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	s := open(t, server.IMAP)
	out, failed := s.Try("# one", "select INBOX", "select Nowhere; create a", "create b")
	if !failed || !strings.Contains(out, "mailrow: line 3: select: there is no folder") || strings.Contains(out, "made") {
		t.Error(out)
	}
	s.KeepGoing = true
	if out, failed = s.Try("select Nowhere", "create b", "quit; create c"); !failed || !strings.Contains(out, "made folder b") || strings.Contains(out, "folder c") {
		t.Error(out)
	}
}
