package message

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	collected "mailrow/internal/corpus"
	"mailrow/internal/needs"
)

// corpusMail is a mail of the corpus, parsed.
type corpusMail struct {
	collected.Mail
	m *Message
}

// rawMails reads the corpus, the real mails and the odd ones, once for all tests.
var rawMails = sync.OnceValues(func() ([]collected.Mail, error) {
	dir, err := collected.Find()
	if err != nil {
		return nil, err
	}
	mails, err := collected.Real(dir)
	if err != nil {
		return nil, err
	}
	odd, err := collected.Odd(dir)
	return append(mails, odd...), err
})

// corpusMails parses them, while Python does. It waits for Python, because other
// tests measure.
var corpusMails = sync.OnceValues(func() ([]corpusMail, error) {
	mails, err := rawMails()
	if err != nil {
		return nil, err
	}
	python := make(chan struct{})
	go func() {
		defer close(python)
		pythonMails()
	}()
	parsed := make([]corpusMail, len(mails))
	for i, mail := range mails {
		parsed[i] = corpusMail{mail, Parse(mail.Raw)}
	}
	<-python
	return parsed, nil
})

// allMails gives the mails of the corpus, parsed.
func allMails(t *testing.T) []corpusMail {
	t.Helper()
	corpus(t)
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	mails, err := corpusMails()
	if err != nil {
		t.Skip(err)
	}
	return mails
}

// pythonMail is what testdata/python/mails.py tells of a mail. What is nil it
// cannot read, or there is none.
type pythonMail struct {
	Leaves                        []pythonLeaf
	Date                          *string // ISO 8601
	Subject                       *string
	From, Sender, ReplyTo, To, Cc [][2]*string // name and address
	MessageID                     *string
	InReplyTo, References         []string
}

// pythonLeaf is a part that is no multipart. A message/rfc822 comes before what
// is in it.
type pythonLeaf struct {
	Type                           string
	Charset, Filename, Disposition *string
	SHA256, Lenient                string // of the content; of quoted-printable also by its rules
	Text                           string // SHA-256 of a text in UTF-8
	Divided                        bool   // a message, which has no content of its own
	Defects                        []string
}

// pythonMails reads the same mails with Python, once for all tests.
var pythonMails = sync.OnceValues(func() ([]pythonMail, error) {
	mails, err := rawMails()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("python3", filepath.Join("..", "testdata", "python", "mails.py"))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer in.Close()
		for _, mail := range mails {
			fmt.Fprintln(in, len(mail.Raw))
			if _, err := in.Write(mail.Raw); err != nil {
				return // Wait tells why
			}
		}
	}()
	read := make([]pythonMail, len(mails))
	answers := json.NewDecoder(bufio.NewReader(out))
	for i := range read {
		if err := answers.Decode(&read[i]); err != nil {
			return nil, fmt.Errorf("%s: %w, %v", mails[i].Name, err, cmd.Wait())
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return nil, err
	}
	return read, cmd.Wait()
})

// comparePython gives each mail with what Python reads in it.
func comparePython(t *testing.T, compare func(mail corpusMail, python *pythonMail)) {
	t.Helper()
	mails := allMails(t)
	if _, err := exec.LookPath("python3"); err != nil {
		needs.Missing(t, "python3", "install it")
	}
	read, err := pythonMails()
	if err != nil {
		t.Fatal(err)
	}
	for i := range mails {
		compare(mails[i], &read[i])
	}
}

// TestCorpusTexts is about every mail; the other promises of Parse are checked
// on fewer.
func TestCorpusTexts(t *testing.T) {
	for _, mail := range allMails(t) {
		for _, b := range []Body{mail.m.Text, mail.m.HTML} {
			for _, problem := range brokenText(mail.Raw, mail.m, b) {
				t.Errorf("%s: %.500s", mail.Name, problem)
			}
		}
	}
}
