package main

import (
	"bytes"
	"os"
	"strconv"

	"mailrow/exim"
	"mailrow/postfix"
)

// writerLives gives a check that the MTA that started us still lives. When it
// is killed amid a mail we read an end of file that looks like any other, and
// would store the half that came. Other callers may end early in good health,
// a shell with a job in the background for one.
func writerLives(getenv func(string) string) func() bool {
	local, pipe := postfix.Detect(getenv)
	if !local && !pipe && !exim.Detect(getenv) {
		return func() bool { return true }
	}
	before := caller()
	return func() bool { return before == 0 || caller() == before }
}

// caller is the process that started us, or our supervisor; 0 if it cannot be told.
func caller() int {
	parent := os.Getppid()
	if supervised == 0 {
		return parent
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state ppid: the name may hold anything, so count from its end.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(string(fields[1]))
	return ppid
}
