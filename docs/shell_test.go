package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"mailrow/internal/scratch"
	"mailrow/poller"
	pollimap "mailrow/poller/imap"
	"mailrow/poller/kinds"
	pollpop3 "mailrow/poller/pop3"
	"mailrow/shell"
	"mailrow/shell/imap"
	"mailrow/shell/local"
	"mailrow/shell/pop3"
	"mailrow/store/source"
)

// The page has each command of each mailbox, with its operands, and no other.
func TestShellCommandsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("shell.md")
	if err != nil {
		t.Fatal(err)
	}
	u, err := poller.ParseURI("maildir://" + scratch.ForTest(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(u.Path+"/new", 0o755); err != nil {
		t.Fatal(err)
	}
	src, err := kinds.Opener{}.Open(t.Context(), source.Source{}, u)
	if err != nil {
		t.Fatal(err)
	}
	files, err := local.New(t.Context(), src, u)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close(t.Context(), true)
	for title, box := range map[string]shell.Mailbox{
		"IMAP": imap.New(pollimap.Config{}), "POP3": pop3.New(pollpop3.Config{}), "files": files,
	} {
		_, section, found := strings.Cut(string(text), "\n## Commands for "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found {
			t.Fatalf("no section for %s", title)
		}
		want := map[string]bool{"help [COMMAND]": true, "quit": true}
		for _, c := range box.Commands() {
			want[strings.TrimSpace(c.Name+" "+c.Operands)] = true
		}
		for _, row := range regexp.MustCompile(`(?m)^\| (.*?[^\\]) \|`).FindAllStringSubmatch(section, -1) {
			for _, cell := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
				usage := strings.ReplaceAll(cell[1], `\|`, "|")
				if !want[usage] {
					t.Errorf("%s has no %q", title, usage)
				}
				delete(want, usage)
			}
		}
		for usage := range want {
			t.Errorf("%s: no %q on the page", title, usage)
		}
	}
}
