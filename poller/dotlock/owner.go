package dotlock

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// owner is the process that made a lock. A number alone does not tell it: another
// process may have the same, later or in another container, on another machine
// that shares the disk. The boot of the kernel, the namespace of numbers and the
// time when it began do.
type owner struct {
	pid   int
	boot  string // /proc/sys/kernel/random/boot_id
	space string // /proc/self/ns/pid
	began string // in ticks since the boot, as /proc/PID/stat has it
}

const program = "mailrow"

// me is the owner of the locks that we make; false where that cannot be known.
var me = sync.OnceValues(func() (owner, bool) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return owner{}, false
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return owner{}, false
	}
	o := owner{pid: os.Getpid(), boot: strings.TrimSpace(string(boot)), space: space}
	// Where /proc is of another namespace it does not know us by our number.
	shown, err := os.Readlink("/proc/self")
	if err != nil || shown != strconv.Itoa(o.pid) {
		return owner{}, false
	}
	var alive bool
	o.began, alive = statOf(o.pid)
	return o, alive
})

// self is what we write into a lock. Its first line is the number of the process,
// as other programs have it.
func self() string {
	o, known := me()
	if !known {
		return fmt.Sprintln(os.Getpid())
	}
	return fmt.Sprintf("%d\n%s %s %s %s\n", o.pid, program, o.boot, o.space, o.began)
}

// parse reads what self wrote; nil where another program did, or not all is there.
func parse(text string) *owner {
	first, second, _ := strings.Cut(text, "\n")
	words := strings.Fields(second)
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 0 || len(words) != 4 || words[0] != program || !strings.HasSuffix(second, "\n") {
		return nil
	}
	return &owner{pid, words[1], words[2], words[3]}
}

// state tells whether the process is known to have ended, or to be running. Of one on
// another machine or in another container neither is known.
func (o *owner) state() (dead, alive bool) {
	mine, known := me()
	if !known || o.space != mine.space || o.boot != mine.boot {
		return false, false
	}
	if err := unix.Kill(o.pid, 0); err == unix.ESRCH {
		return true, false
	}
	began, alive := statOf(o.pid)
	if began == "" {
		return false, false
	}
	alive = alive && began == o.began
	return !alive, alive
}

// statOf tells when a process began, "" where that cannot be read, and whether it
// is more than what is left until its parent asks for its status (proc(5)).
func statOf(pid int) (began string, alive bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, start = 0, 19 // of what follows the name
	if len(fields) <= start {
		return "", false
	}
	return fields[start], fields[state] != "Z" && fields[state] != "X"
}
