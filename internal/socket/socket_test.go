package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := Listen("unix:" + path + ",mode=0622")
	if err != nil {
		t.Fatal(err)
	}
	at, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := at.Mode(); got != fs.ModeSocket|0o622 {
		t.Errorf("mode %v", got)
	}
	if _, err := Listen("unix:" + path); !errors.Is(err, errInUse) {
		t.Errorf("a socket in use: %v", err)
	}
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket is to stay for who comes next: %v", err)
	}
	next, err := Listen("unix:" + path)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	defer next.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestListenOnTCP(t *testing.T) {
	l, err := Listen("tcp:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenErrorsName(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mail"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"/run/lmtp":                        "write unix:",
		"unix:":                            "path is missing",
		"unix:" + dir + "/s,mode=rw":       "no mode such as",
		"unix:" + dir + "/s,group=no such": "no such",
		"unix:" + dir + "/s,owner=me":      `unknown option "owner"`,
		"unix:" + file:                     "no socket",
		"unix:" + dir + "/missing/s":       "no such file",
		"tcp:127.0.0.1:99999":              "99999",
	} {
		l, err := Listen(address)
		if err == nil {
			l.Close()
			t.Errorf("%s: no error", address)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mail" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}
