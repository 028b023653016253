package imap_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/scripttest"
	"mailrow/internal/shelltest"
	poll "mailrow/poller/imap"
	"mailrow/poller/sasl"
	"mailrow/shell"
	"mailrow/shell/imap"
)

// The command that finds the connection dead says so; the next one connects again,
// and selects the folder.
func TestConnectsAgain(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(2)...)
	s := open(t, server.IMAP)
	s.Do("select INBOX")
	server.KickOut(t, dovecottest.User)
	s.Fail("fetch 2", "connection")
	s.Do("fetch 2", "(connecting again to 127.0.0.1:", "Größe 2")
}

const begin = `
S: * PREAUTH [CAPABILITY IMAP4rev1] hello
C: a LIST "" ""
S: * LIST (\Noselect) "." ""
S: a OK
C: a LIST "" "*"
S: * LIST () "." "INBOX"
S: a OK
C: a SELECT "INBOX"
S: * 3 EXISTS
S: * OK [UIDVALIDITY 7] valid
S: a OK [READ-WRITE] opened
`

func TestConnectsAgainToAnotherFolder(t *testing.T) {
	again := strings.Replace(begin, `C: a LIST "" "*"
S: * LIST () "." "INBOX"
S: a OK
`, "", 1)
	server := scripttest.Start(t, nil, begin+"C: a NOOP\nclose\n", strings.Replace(again, "VALIDITY 7", "VALIDITY 8", 1)+"C: a EXAMINE \"\"\nS: a NO there is none\nclose\n")
	s := open(t, server.Addr())
	s.Do("select INBOX")
	s.Fail("noop", "the connection is lost")
	s.Fail("flags 1", "its mails have other UIDs (UIDVALIDITY 8, and 7 before): search again")
	s.Fail("flags 1", "no folder is selected") // a script that goes on has UIDs of before
}

// Servers that have less: nothing is removed that was not asked for.
func TestServersThatHaveLess(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{Capability: "IMAP4rev1"})
	server.Append(t, dovecottest.User, "INBOX", mails(3)...)
	s := open(t, server.IMAP)
	s.Yes = true
	s.Do("select INBOX")
	s.Do("create Done")
	s.Do("copy 1 Done", "copied 1 mail to Done")
	s.Fail("move 1 Done", "it has no MOVE and no UIDPLUS")
	s.Do(`flags 1:2 add \Deleted`)
	s.Fail("expunge 1", "2 are marked")
	s.Fail("idle", "it has no IDLE")
	s.Fail("quota", "it has no QUOTA")
	s.Fail("acl", "it has no ACL")
	s.Fail("namespace", "it has no NAMESPACE")
	s.Do("delete Done", "deleted")
	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, bytes.Repeat(mails(1)[0], 100), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Do("append INBOX "+file, "put 16 kB into INBOX") // by a literal that waits
	s.Do("fetch", "Größe 3")
	s.Do("expunge 1:2", "removed 2 mails")
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 || left[0].UID != 3 {
		t.Errorf("left: %v", left)
	}
}

// Ctrl-C ends a command that the server does not answer, and not the session.
func TestInterrupt(t *testing.T) {
	const hello = "S: * PREAUTH [CAPABILITY IMAP4rev1] hello\nC: a LIST\nS: a OK\n"
	server := scripttest.Start(t, nil, hello+"C: a NOOP\nsilence\n", hello+"C: a NOOP\nS: a OK\nsilence\n")
	var conf poll.Config
	conf.Server, conf.Credentials = shelltest.At(t, server.Addr())
	asked := make(chan bool, 1)
	conf.Server.Trace = func(line string) {
		if strings.HasSuffix(line, "NOOP") {
			select {
			case asked <- true:
			default:
			}
		}
	}
	box := imap.New(conf)
	defer box.Close(t.Context(), true)
	var out bytes.Buffer
	sh := &shell.Shell{Mailbox: box, Out: &out, Err: &out, KeepGoing: true}
	lines := make(chan string, 2)
	lines <- "noop"
	lines <- "noop"
	close(lines)
	go func() {
		<-asked
		time.Sleep(500 * time.Millisecond) // traced first, then sent
		sh.Interrupt()
	}()
	err := sh.Script(t.Context(), lines)
	if want := "mailrow: line 1: noop: interrupted\n(connecting again to "; !errors.Is(err, shell.ErrFailed) || !strings.HasPrefix(out.String(), want) || !strings.HasSuffix(out.String(), "the server answers; nothing is new\n") {
		t.Errorf("%v, %s", err, &out)
	}
}

func TestTokenIsNotTraced(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	for mechanism, token := range map[string]string{
		"XOAUTH2": server.Token(t, dovecottest.User, time.Hour), "OAUTHBEARER": server.Token(t, dovecottest.User, -time.Hour),
	} {
		var conf poll.Config
		conf.Server, conf.Credentials = shelltest.At(t, server.IMAP)
		conf.Credentials.Mechanism = mechanism
		conf.Credentials.Token = func(context.Context) (sasl.Secret, error) { return sasl.NewSecret(token), nil }
		var trace strings.Builder
		conf.Server.Trace = func(line string) { trace.WriteString(line + "\n") }
		box := imap.New(conf)
		err := box.Login(t.Context())
		if (err == nil) != (mechanism == "XOAUTH2") || !strings.Contains(trace.String(), "AUTHENTICATE "+mechanism+" ***\n") {
			t.Errorf("%v\n%s", err, &trace)
		}
		all := fmt.Sprint(&trace, err)
		for _, form := range []string{token, base64.RawStdEncoding.EncodeToString([]byte(token))[8:40], base64.RawStdEncoding.EncodeToString([]byte("x" + token))[8:40], base64.RawStdEncoding.EncodeToString([]byte("xx" + token))[8:40]} {
			if strings.Contains(all, form) {
				t.Errorf("the token is in %s", all)
			}
		}
		box.Close(t.Context(), true)
	}
}

// Without MOVE mails are copied, and only then removed, they alone.
func TestMoveByCopy(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{Capability: "IMAP4rev1 UIDPLUS"})
	server.Append(t, dovecottest.User, "INBOX", mails(3)...)
	s := open(t, server.IMAP)
	s.Do("create Done; select INBOX")
	s.Do(`flags 1 add \Deleted`)
	s.Do("move 2:3 Done", "moved 2 mails to Done, where the UIDs are 1:2")
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 1 || left[0].UID != 1 {
		t.Errorf("left: %v", left)
	}
}

// What strangers have written does not play with the terminal.
func TestTerminalObeysNothing(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", []byte("From: \x1b[2J\r\nSubject: a\tb\x07\r\n\r\n\x1b]0;x\x07 text\r\n"))
	s := open(t, server.IMAP)
	s.Do("select INBOX")
	for _, command := range []string{"fetch", "show 1", "show 1 raw", "show 1 headers", "raw FETCH 1 (BODY.PEEK[])"} {
		if out := s.Do(command); strings.ContainsAny(out, "\x1b\x07") {
			t.Errorf("%s: %q", command, out)
		}
		s.JSON = true
		if out := s.Do(command); strings.ContainsAny(out, "\x1b\x07") {
			t.Errorf("%s: %q", command, out)
		}
		s.JSON = false
	}
}

// Of folders that people would call the same none is taken by chance.
func TestFoldersThatLookTheSame(t *testing.T) {
	const list = `
S: * PREAUTH [CAPABILITY IMAP4rev1] hello
C: a LIST "" ""
S: * LIST (\Noselect) "." ""
S: a OK
C: a LIST "" "*"
S: * LIST () "." "INBOX"
S: * LIST () "." "a/b"
S: * LIST () "." "a.b"
S: * LIST () "." "&AOk-"
S: * LIST () "." "e&AwE-"
S: a OK
`
	var scripts []string
	for range 8 {
		scripts = append(scripts, list+"C: a UNSUBSCRIBE \"&AOk-\"\nS: a OK\nclose\n")
	}
	server := scripttest.Start(t, nil, append(scripts, list+"close\n")...)
	for range scripts {
		open(t, server.Addr()).Do("unsubscribe \u00e9")
	}
	s := open(t, server.Addr())
	s.Yes = true
	s.Fail("delete a/b", `"a/b" may be "a/b" or "a.b", as the server spells them`)
}

// Where a folder could not be opened, what follows is not done in the one before.
func TestScriptThatGoesOnIsNotInAnotherFolder(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(2)...)
	s := open(t, server.IMAP)
	s.Yes, s.KeepGoing = true, true
	s.Try("select INBOX", "select Trahs", `flags all add \Deleted`, "expunge", "raw EXPUNGE")
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 || len(left[0].Flags) > 0 {
		t.Errorf("left: %v", left)
	}
	s.Fail("fetch", "no folder is selected")
	s.Do("select INBOX; search ALL")
	s.Fail("search NONSENSE", "BAD")
	s.Fail("flags found", "nothing was found")
}

// What failed does not say what it would have found.
func TestFailuresTellNoFacts(t *testing.T) {
	const again = "C: a UID SEARCH UID 1:*\nS: * SEARCH 1 2 3\nS: a OK\n"
	server := scripttest.Start(t, nil, strings.Replace(begin, "IMAP4rev1]", "IMAP4rev1 QUOTA]", 1)+
		"C: a GETQUOTAROOT\nS: a NO not now\n"+again+"C: a UID FETCH 1:3\nS: a NO not now\nclose\n")
	s := open(t, server.Addr())
	s.Do("select INBOX")
	for _, command := range []string{"quota", "fetch"} {
		out, failed := s.Try(command)
		if !failed || strings.Contains(out, "there is no quota") || strings.Contains(out, "no mail") {
			t.Errorf("%s: failed %t, %s", command, failed, out)
		}
	}
}

// What looks like the length of a literal is a word: the server would wait for the rest
// of it, and take the next command for that.
func TestSearchIsNoLiteral(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(2)...)
	s := open(t, server.IMAP)
	s.Do("select INBOX")
	for _, criteria := range []string{"SUBJECT {5}", "SUBJECT {5+}"} {
		s.Do("search "+criteria, "nothing found")
		s.Do("search ALL", "2 mails found")
	}
}
