package secret

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/scratch"
)

var ctx = context.Background()

func TestParse(t *testing.T) {
	for text, ok := range map[string]bool{
		"file:/etc/mailrow/ann":     true,
		"file:/a b":                 true,
		"file:relative":             false,
		"file:/a\nb":                false,
		"env:ANN_1":                 true,
		"env:1ANN":                  false,
		"env:A=B":                   false,
		"command:pass show mail/x":  true,
		"command:pass 'mail":        false,
		"command:pass | head":       false,
		"command:echo \"$HOME\"":    false,
		"command:sh -c 'pass | sh'": true,
		"command:":                  false,
		"command: pass":             false,
		"command:\"\" x":            false,
		"credential:ann":            true,
		"credential:../ann":         false,
		"credential:.":              false,
		"sealed:short":              false,
		"hunter2":                   false,
		"hunter2:xyz":               false,
		"":                          false,
		"file:/\xff":                false,
	} {
		r, err := Parse(text)
		var bad *Error
		switch {
		case ok && (err != nil || r.String() != text):
			t.Errorf("%q: %q, %v", text, r, err)
		case !ok && !errors.As(err, &bad):
			t.Errorf("%q: %v, want an *Error", text, err)
		case !ok && strings.Contains(text, "hunter2") && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%q: shown by %v", text, err)
		}
	}
}

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		`pass show mail/x`:        `pass|show|mail/x`,
		`a  'b c'  "d e"f`:        `a|b c|d ef`,
		`a '' ""`:                 `a||`,
		`a b\ c \"d`:              `a|b c|"d`,
		`a "\n \" \\ \$" 'x\y'`:   `a|\n " \ $|x\y`,
		`vault -field=p kv/a~b*?`: `vault|-field=p|kv/a~b*?`,
	} {
		got, err := words(line)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(scratch.ForTest(t), "secret")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// got is what a reference gives, or the error.
func got(reference string) string {
	r, err := Parse(reference)
	if err != nil {
		return "parse: " + err.Error()
	}
	s, err := r.Get(ctx, "", Owner{Use: Password})
	if err != nil {
		return err.Error()
	}
	return "=" + s.Reveal()
}

func TestFile(t *testing.T) {
	for _, test := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"hunter2\n", 0o600, "=hunter2"},
		{"hunter2\r\n", 0o400, "=hunter2"},
		{" hunter 2 ", 0o640, "= hunter 2 "},
		{"hunter2\n\n", 0o600, "more than one line"},
		{"hunter2\nuser: ann\n", 0o600, "more than one line"},
		{"\n", 0o600, "is empty"},
		{"hunter2", 0o644, "chmod 600 "},
		{"hunter2", 0o604, "chmod 600 "},
		{"hunter2", 0o660, "chmod 600 "},
		{strings.Repeat("hunter2", maxSecret/7+1), 0o600, "too large"},
	} {
		got := got("file:" + write(t, test.text, test.mode))
		if strings.HasPrefix(test.want, "=") && got != test.want || !strings.Contains(got, test.want) {
			t.Errorf("%.20q of mode %o: got %q, want %q", test.text, test.mode, got, test.want)
		}
		if strings.Contains(got, "hunter2") && got[0] != '=' {
			t.Errorf("shown: %s", got)
		}
	}
	fifo := filepath.Join(scratch.ForTest(t), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := got("file:" + fifo); !strings.Contains(got, "no regular file") {
		t.Errorf("fifo: %s", got)
	}
}

func TestVariableAndCredential(t *testing.T) {
	t.Setenv("MAILROW_TEST_SECRET", "hunter2")
	path := write(t, "hunter3\n", 0o400)
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
	for reference, want := range map[string]string{
		"env:MAILROW_TEST_SECRET":        "=hunter2",
		"env:MAILROW_TEST_SECRET_ABSENT": "get password: environment variable MAILROW_TEST_SECRET_ABSENT is not set: set it where mailrow poll runs",
		"credential:secret":              "=hunter3",
	} {
		if got := got(reference); got != want {
			t.Errorf("%s: got %q, want %q", reference, got, want)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if got := got("credential:secret"); !strings.Contains(got, "LoadCredential=secret:") {
		t.Errorf("without systemd: %s", got)
	}
}

func TestCommand(t *testing.T) {
	for line, want := range map[string]string{
		`printf '%s\n' hunter2 'user: ann'`: "=hunter2",
		`printf hunter2`:                    "=hunter2",
		`printf 'hunter2\r\n'`:              "=hunter2",
		`true`:                              "get password: run true: it has printed nothing, or an empty line first",
		`sh -c 'echo hunter2; echo no key >&2; exit 3'`:      "get password: run sh: exit status 3 (no key)",
		`sh -c 'echo hunter2; echo got hunter2 >&2; exit 1'`: "get password: run sh: exit status 1 (got ***)",
		`printf 'a\000b'`:   "get password: run printf: what it has printed is no text",
		`/nonexistent/pass`: "get password: run /nonexistent/pass: fork/exec /nonexistent/pass: no such file or directory",
		`cat`:               "get password: run cat: it has printed nothing, or an empty line first", // its input is empty
	} {
		if got := got("command:" + line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// What a program has started must not keep us, nor go on.
func TestCommandThatDoesNotEnd(t *testing.T) {
	start := time.Now()
	_, err := runCommand(ctx, `sh -c 'echo hunter2; sleep 100 & sleep 100'`, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "did not end within 200ms") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	s, err := runCommand(ctx, `sh -c 'echo hunter2; sleep 100 &'`, 20*time.Second)
	if err != nil || s.Reveal() != "hunter2" {
		t.Error(s, err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}
