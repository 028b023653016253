package deliverytest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"mailrow/internal/scratch"
)

// ending is a way in which a run ends: flags before those of the mail server,
// and what happens to the process once it waits for a database that never
// answers.
type ending struct {
	name    string
	flags   []string
	limit   string // a shell command before
	happens func(child, supervisor int) error
}

const (
	toTrap = "--database=TRAP"
	broken = "--config=BROKEN"
)

var endings = []ending{
	{name: "unknown", flags: []string{"--unknown=reject"}},
	{name: "large", flags: []string{"--max-size=100B"}},
	{name: "large-quiet", flags: []string{"--max-size=100B", "--quiet"}},
	{name: "down", flags: []string{"--database=postgres:///mail?host=/nonexistent"}},
	{name: "flag", flags: []string{"--no-such-flag"}},
	{name: "config-missing", flags: []string{"--config=/nonexistent"}},
	{name: "config-broken", flags: []string{broken}},
	{name: "memory", limit: "ulimit -v 100000"},
	{name: "deadline", flags: []string{"--timeout=500ms", toTrap}, happens: func(int, int) error { return nil }},
	{name: "term", flags: []string{toTrap}, happens: func(_, supervisor int) error { return syscall.Kill(supervisor, syscall.SIGTERM) }},
	{name: "child-killed", flags: []string{toTrap}, happens: func(child, _ int) error { return syscall.Kill(child, syscall.SIGKILL) }},
	{name: "both-killed", flags: []string{toTrap}, happens: func(_, supervisor int) error { return syscall.Kill(supervisor, syscall.SIGKILL) }},
	{name: "stored"},
}

// Endings is mailrow-deliver in every way that it can end.
type Endings struct {
	Script string // what the mail server runs, for recipients user+ending@domain
	trap   *Trap
}

// Names of all endings, in an order in which each works. Only the last one
// stores anything.
func Names() []string {
	var names []string
	for _, e := range endings {
		names = append(names, e.name)
	}
	return names
}

// NewEndings prepares them for mail into a database.
func NewEndings(t testing.TB, dsn string) *Endings {
	t.Helper()
	trap := NewTrap(t)
	files := strings.NewReplacer("TRAP", trap.DSN, "BROKEN", Config(t, dsn, "no_such_key = 1"))
	// Postfix's local(8) and Exim tell the recipient in the environment, pipe(8)
	// as the last argument.
	var b strings.Builder
	b.WriteString("for last; do :; done\ncase ${RECIPIENT:-$last} in\n")
	for _, e := range endings {
		fmt.Fprintf(&b, "*+%s@*) %s\n\tset --", e.name, e.limit)
		for _, flag := range e.flags {
			b.WriteString(" '" + files.Replace(flag) + "'")
		}
		b.WriteString(" \"$@\" ;;\n")
	}
	b.WriteString("esac\nexec " + Program(t) + " --config=" + Config(t, dsn) + " \"$@\"")
	return &Endings{Script: Script(t, b.String()), trap: trap}
}

// Happen makes a run end that was just started.
func (e *Endings) Happen(t testing.TB, name string) {
	t.Helper()
	for _, ending := range endings {
		if ending.name != name || ending.happens == nil {
			continue
		}
		child := e.trap.Caught(t)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil {
			t.Fatal(err)
		}
		var pid, supervisor int
		var program, state string
		if _, err := fmt.Sscan(string(stat), &pid, &program, &state, &supervisor); err != nil {
			t.Fatalf("%s: %v", stat, err)
		}
		if err := ending.happens(child, supervisor); err != nil {
			t.Fatal(err)
		}
	}
}

// Unsure is a script that runs a command and then, the first time for each
// mail, says "try again" whatever became of it: as after a commit whose answer
// is lost.
func Unsure(t testing.TB, command string) string {
	t.Helper()
	seen := scratch.ForTest(t)
	if err := os.Chmod(seen, 0o777); err != nil { // for any user
		t.Fatal(err)
	}
	return Script(t, command+` "$@" || exit
mkdir "`+seen+`/$(echo "$*$RECIPIENT$MESSAGE_ID" | cksum)" 2>/dev/null && exit 75
exit 0`)
}
