package mtatest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailrow/internal/needs"
	"mailrow/internal/scratch"
)

// Postfix says how the command is called. What is empty is not configured.
type Postfix struct {
	// MailboxCommand gets the mail of LocalUser@local.test.
	MailboxCommand string
	// Aliases of local.test: name to value, "|/path arg" with its quotes.
	Aliases map[string]string
	// Pipe is the argv of pipe(8) for row.test.
	Pipe      []string
	PipeFlags string // e.g. DORhu
	PipeUser  string // LocalUser
	// ExtraMain and ExtraMaster are appended to main.cf and master.cf; in
	// main.cf the last setting of a name counts.
	ExtraMain, ExtraMaster string
}

// PostfixServer is a running Postfix.
type PostfixServer struct{ server }

func needPostfix(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("/usr/sbin/postfix"); err != nil {
		needs.Missing(t, "Postfix", needs.Install)
	}
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to start Postfix", needs.Root)
	}
}

// StartPostfix starts a Postfix that is stopped after the test.
func StartPostfix(t testing.TB, p Postfix) *PostfixServer {
	t.Helper()
	needPostfix(t)
	dir := scratch.ForTest(t)
	s := &PostfixServer{server{
		dir:    dir,
		addr:   freeAddr(t),
		logs:   []string{filepath.Join(dir, "mail.log")},
		parse:  parsePostfix,
		bounce: func(line string) bool { return strings.Contains(line, ": sender non-delivery notification: ") },
	}}
	for _, sub := range []string{"etc", "queue"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.writeConfig(t, "main.cf", s.main(p))
	s.writeConfig(t, "master.cf", s.master(p))
	var aliases strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.Aliases)) {
		fmt.Fprintf(&aliases, "%s %s\n", name, p.Aliases[name])
	}
	s.writeConfig(t, "aliases", aliases.String())

	// It makes the folders of the queue.
	output(t, s.command("postfix", "check"))
	// "postfix start" would detach: the daemon must die with the test.
	daemons := strings.TrimSpace(output(t, s.command("postconf", "-h", "daemon_directory")))
	master := exec.Command(filepath.Join(daemons, "master"), "-c", s.etc(), "-d")
	master.Env = s.env()
	s.run(t, master)
	return s
}

// writeConfig makes the file look old: Postfix sleeps until a file it reads is
// a second old, because somebody may still be writing it.
func (s *PostfixServer) writeConfig(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(s.etc(), name)
	write(t, path, text)
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func (s *PostfixServer) etc() string { return filepath.Join(s.dir, "etc") }

func (s *PostfixServer) env() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "MAIL_CONFIG=" + s.etc()}
}

// command prepares a program of Postfix for this instance.
func (s *PostfixServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join("/usr/sbin", name), append([]string{"-c", s.etc()}, args...)...)
	cmd.Env = s.env()
	return cmd
}

func (s *PostfixServer) main(p Postfix) string {
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, value) }
	set("compatibility_level", "3.6")
	set("queue_directory", filepath.Join(s.dir, "queue"))
	set("data_directory", filepath.Join(s.dir, "data"))
	set("maillog_file", s.logs[0])
	set("maillog_file_prefixes", s.dir)
	set("inet_interfaces", "127.0.0.1")
	set("inet_protocols", "ipv4")
	set("myhostname", "mta.test")
	set("mydestination", LocalDomain)
	set("mynetworks", "127.0.0.0/8")
	set("relay_domains", CommandDomain)
	set("alias_database", "")
	set("alias_maps", "texthash:"+filepath.Join(s.etc(), "aliases"))
	set("recipient_delimiter", "+")
	set("mailbox_command", p.MailboxCommand)
	// No smtp service exists in master.cf, and nothing asks for one.
	set("disable_dns_lookups", "yes")
	set("default_transport", "discard:"+discardedBy)
	set("transport_maps", "inline:{ {"+CommandDomain+" = row:} }")
	if strings.ContainsAny(p.PipeFlags, "DO") {
		set("row_destination_recipient_limit", "1")
	}
	set("notify_classes", "")
	// Only Flush retries.
	set("queue_run_delay", "1h")
	set("minimal_backoff_time", "1h")
	return b.String() + p.ExtraMain + "\n"
}

const masterServices = `
pickup   unix       n - n 60  1   pickup
cleanup  unix       n - n -   0   cleanup
qmgr     unix       n - n 300 1   qmgr
rewrite  unix       - - n -   -   trivial-rewrite
bounce   unix       - - n -   0   bounce
defer    unix       - - n -   0   bounce
trace    unix       - - n -   0   bounce
flush    unix       n - n -   0   flush
error    unix       - - n -   -   error
retry    unix       - - n -   -   error
discard  unix       - - n -   -   discard
showq    unix       n - n -   -   showq
proxymap unix       - - n -   -   proxymap
anvil    unix       - - n -   1   anvil
local    unix       - n n -   -   local
lmtp     unix       - - n -   -   lmtp
postlog  unix-dgram n - n -   1   postlogd
`

func (s *PostfixServer) master(p Postfix) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s inet n - n - - smtpd", s.addr)
	b.WriteString(masterServices)
	if len(p.Pipe) > 0 {
		argv := make([]string, len(p.Pipe))
		for i, arg := range p.Pipe {
			argv[i] = arg
			if arg == "" || strings.ContainsAny(arg, " \t{}") && !strings.HasPrefix(arg, "${") {
				argv[i] = "{ " + arg + " }"
			}
		}
		fmt.Fprintf(&b, "row unix - n n - - pipe\n  flags=%s user=%s argv=%s\n",
			p.PipeFlags, cmp.Or(p.PipeUser, LocalUser), strings.Join(argv, " "))
	}
	return b.String() + p.ExtraMaster + "\n"
}

// SendLocal submits a message with sendmail(1).
func (s *PostfixServer) SendLocal(t testing.TB, from string, to []string, msg []byte) {
	t.Helper()
	cmd := exec.Command("/usr/sbin/sendmail", append([]string{"-C", s.etc(), "-i", "-f", from, "--"}, to...)...)
	cmd.Env = s.env()
	cmd.Stdin = bytes.NewReader(msg)
	output(t, cmd)
}

// Flush tries all deferred mail again, now.
func (s *PostfixServer) Flush(t testing.TB) {
	t.Helper()
	// The result is in the log before the message is in the deferred queue, and
	// a flush in between would miss it.
	settled := wait(stopTimeout, func() bool {
		list := output(t, s.command("postqueue", "-j"))
		return !strings.Contains(list, `"queue_name": "active"`) && !strings.Contains(list, `"queue_name": "incoming"`)
	})
	if !settled {
		t.Fatal("a delivery is still running")
	}
	output(t, s.command("postqueue", "-f"))
}

// Queue counts the messages that are not finished.
func (s *PostfixServer) Queue(t testing.TB) int {
	t.Helper()
	return strings.Count(output(t, s.command("postqueue", "-j")), "\n")
}

// WaitQueue waits until n messages are in the queue: a message leaves it a
// moment after its last result.
func (s *PostfixServer) WaitQueue(t testing.TB, n int, timeout time.Duration) {
	t.Helper()
	if !wait(timeout, func() bool { return s.Queue(t) == n }) {
		t.Fatalf("%d messages in the queue, want %d", s.Queue(t), n)
	}
}

// discardedBy marks mail that no test is interested in, bounces mostly.
const discardedBy = "mtatest"

var postfixResult = regexp.MustCompile(
	`: ([0-9A-Za-z]+): to=<(.*?)>,(?: orig_to=<(.*?)>,)? relay=.* dsn=([0-9.]+), status=(\w+) \((.*)\)$`)

func parsePostfix(line string) (Result, bool) {
	m := postfixResult.FindStringSubmatch(line)
	if m == nil || m[6] == discardedBy {
		return Result{}, false
	}
	return Result{QueueID: m[1], Recipient: cmp.Or(m[3], m[2]), Status: m[5], DSN: m[4], Text: m[6]}, true
}
