package deliverytest

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mailrow/internal/scratch"
)

// killedWriter is a mail server that dies of SIGKILL amid a mail: what it had
// open is closed by the kernel, and its command reads the end of the mail.
const killedWriter = `mkfifo "$1" || exit
half=$2
fifo=$1
export server=$$
shift 2
"$@" <"$fifo" &
exec 3>"$fifo"
cat "$half" >&3
kill -KILL $$`

// lateStart lets the mail server be dead before its command starts.
const lateStart = `while read -r _ _ _ parent _ </proc/$$/stat; [ "$parent" = "$server" ]; do sleep 0.01; done
[ "$parent" = 1 ] || { echo "adopted by $parent"; exit; }
exec "$@"`

// KilledWriter lets mail servers with the environment die after half of a mail
// is written, many times over. It checks that no run of the program stores
// anything, and that it says "try again".
func KilledWriter(t *testing.T, dsn, half string, env []string, flags ...string) {
	t.Helper()
	dir := scratch.ForTest(t)
	write(t, filepath.Join(dir, "half"), []byte(half), 0o644)
	command := append([]string{Program(t), "--config=" + Config(t, AsDeliverer(dsn))}, flags...)
	die := func(name string, command ...string) string {
		cmd := exec.Command("/bin/sh", append([]string{"-c", killedWriter, "server", filepath.Join(dir, name), filepath.Join(dir, "half")}, command...)...)
		cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said // until the command ends, too
		if err := cmd.Run(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("the server: %v: %s", err, said.String())
		}
		return said.String()
	}
	fits := len(half) <= 1<<16 // the pipe: nobody need read it before the end
	times := 20
	if fits {
		times = 5
	}
	const again = "4.3.0 mailrow: cannot read the mail"
	var all sync.WaitGroup
	for writer := range 8 {
		all.Go(func() {
			for i := range times {
				run := command
				if i%2 == 1 && !fits {
					// As Postfix does for a command with quotes in it.
					run = append([]string{"/bin/sh", "-c", `"$@"; exit $?`, "sh"}, command...)
				}
				if said := die(fmt.Sprintf("%d.%d", writer, i), run...); !strings.HasPrefix(said, again) {
					t.Errorf("said %q", said)
				}
			}
		})
	}
	all.Wait()
	if fits {
		late := append([]string{"/bin/sh", "-c", lateStart, "late"}, command...)
		switch said := die("late", late...); {
		case strings.HasPrefix(said, "adopted by"):
			t.Logf("not checked, since orphans are %s: a server that dies before the program starts", said)
		case !strings.HasPrefix(said, again):
			t.Errorf("started late, said %q", said)
		}
	}
	if rows := Rows(t, dsn, "select recipient, size from mailrow.mail"); rows != nil {
		t.Errorf("half mails: %v", rows)
	}
}
