package deliver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "mailrow.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadConfig(t *testing.T) {
	got, err := ReadConfig(write(t, `
database = "host=/run/postgresql"
timeout = "2m"
max_size = 1000
account = "archive"
mailbox = "All"
extension_mailbox = true
unknown = "reject"
recipient_delimiter = "-+"
quiet = true
`))
	want := Config{Database: "host=/run/postgresql", Timeout: 2 * time.Minute, MaxSize: 1000, Account: "archive",
		Mailbox: "All", ExtensionMailbox: true, RejectUnknown: true, RecipientDelimiter: "-+", Quiet: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, err := ReadConfig(write(t, "# nothing said\n")); err != nil || got != DefaultConfig() {
		t.Error(got, err)
	}
}

func TestReadConfigNamesTheFault(t *testing.T) {
	for text, want := range map[string]string{
		"account = \"a\"\nmax_szie = 1\n":          `line 2: unknown key "max_szie"`,
		"[database]\nurl = \"x\"\n":                `"database"`,
		"\n\ntimeout = 60\n":                       "line 3",
		"timeout = \"soon\"\n":                     `key "timeout": "soon" is not a duration`,
		"max_size = \"2TiB\"\n":                    `key "max_size"`,
		"max_size = \"64 Mib\"\n":                  `key "max_size"`,
		"max_size = -1\n":                          `key "max_size"`,
		"unknown = \"bounce\"\n":                   `key "unknown": "bounce" is neither`,
		"this is no TOML\n":                        "line 1",
		"database = \"postgres://u:sesame@h/db\nx": "line 1",
	} {
		_, err := ReadConfig(write(t, text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
	if _, err := ReadConfig("/nonexistent/mailrow.toml"); err == nil {
		t.Error("a file that was named need not be there")
	}
}
