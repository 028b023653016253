package shell

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const withFile = "From: =?utf-8?q?J=C3=B6rg?= <j@x.test>\r\nTo: a@x.test, b@x.test\r\nReceived: by x\r\nSubject: files\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\n\r\nthe text\r\n--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"\x1b[2J.html\"\r\n\r\n<p>x</p>\r\n--b--\r\n"

func TestShow(t *testing.T) {
	for form, want := range map[string]string{
		"":        "From: Jörg <j@x.test>\nTo: a@x.test, b@x.test\nSubject: files\n(mail 7: ",
		"headers": "Received: by x\n",
		"raw":     "From: =?utf-8?q?J=C3=B6rg?= <j@x.test>\nTo:",
		"HTML":    "",
	} {
		r, err := Show(Mail{UID: 7, Flags: []string{`\Seen`}}, []byte(withFile), form)
		if err != nil || !strings.Contains(r.Words(), want) {
			t.Errorf("%q: %v, %v", form, r, err)
		}
	}
	r, err := Show(Mail{UID: 7}, []byte(withFile), "")
	if err != nil {
		t.Fatal(err)
	}
	if words := r.Words(); !strings.Contains(words, "PART  TYPE       SIZE  FILE\n2     text/html  8 B   \\x1b[2J.html\n\nthe text\n") {
		t.Error(words)
	}
	if r, _ := Show(Mail{}, nil, ""); !strings.Contains(r.Words(), "defects empty") {
		t.Error(r.Words())
	}
}

// A mail that did not come whole leaves no file.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.eml")
	s := &Saved{}
	if err := s.Save(path, 1, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || len(s.Files) != 0 {
		t.Error(err)
	}
	if err := s.Save(path, 1, strings.NewReader("whole\x00")); err != nil {
		t.Error(err)
	}
	if err := s.Save(path, 2, strings.NewReader("other")); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "whole\x00" {
		t.Errorf("%q, %v", text, err)
	}
}

// What cannot be written is a failure of the session.
func TestOutputThatFails(t *testing.T) {
	for _, json := range []bool{false, true} {
		lines := make(chan string, 1)
		lines <- "help"
		close(lines)
		s := &Shell{Mailbox: one{}, Out: broken{}, Err: &bytes.Buffer{}, JSON: json}
		if err := s.Script(t.Context(), lines); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("json %v: %v", json, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
