package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"mailrow/exim"
	"mailrow/postfix"
)

// writerLives gives a check that the MTA that started us still lives. When it
// is killed amid a mail we read an end of file that looks like any other, and
// would store the half that came. Other callers may end early in good health,
// a shell with a job in the background for one.
//
// The kernel closes a dying process's files first and gives its children to
// init later, so the end of the mail is seen in between: PF_EXITING is set
// before both.
func writerLives(getenv func(string) string) func() bool {
	if !underMTA(getenv) {
		return func() bool { return true }
	}
	before := callers()
	return func() bool {
		// No MTA runs commands as init: it was killed before we started.
		const initPID = 1
		return before[0] == 0 ||
			before[0] != initPID && !exiting(before[0]) && !exiting(before[1]) && callers() == before
	}
}

// underMTA tells whether an MTA runs us rather than a person or another program.
func underMTA(getenv func(string) string) bool {
	local, pipe := postfix.Detect(getenv)
	return local || pipe || exim.Detect(getenv)
}

// callers are the process that started us, or our supervisor, and the one that
// started that: a shell may stand between the MTA and us. What cannot be told is 0.
func callers() (pids [2]int) {
	pid := os.Getppid()
	if supervised != 0 {
		pid, _, _ = status(pid)
	}
	above, _, _ := status(pid)
	return [2]int{pid, above}
}

// exiting tells whether a process is on its way out, as far as we may see it.
func exiting(pid int) bool {
	const pfExiting = 0x4 // PF_EXITING of linux/sched.h
	_, flags, err := status(pid)
	return err == nil && flags&pfExiting != 0
}

// status reads what proc_pid_stat(5) says of a process.
func status(pid int) (ppid int, flags uint64, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// pid (name) state ppid pgrp session tty tpgid flags: the name may hold
	// anything, so count from its end.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 {
		return 0, 0, errors.New("short /proc/pid/stat")
	}
	ppid, err1 := strconv.Atoi(string(fields[1]))
	flags, err2 := strconv.ParseUint(string(fields[6]), 10, 64)
	return ppid, flags, errors.Join(err1, err2)
}
