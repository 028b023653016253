// Peak runs a program on its own standard input and prints the peak memory of
// it and its children in KiB. A child begins with the peak of the process that
// started it, so this one imports nothing that is large.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	pid, err := syscall.ForkExec(os.Args[1], os.Args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 2, 2}})
	if err != nil {
		fail(err.Error())
	}
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if err != nil || status != 0 {
		fail("it failed")
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		fail(err.Error())
	}
	os.Stdout.WriteString(strconv.FormatInt(usage.Maxrss, 10) + "\n")
}

func fail(why string) {
	os.Stderr.WriteString("peak: " + os.Args[1] + ": " + why + "\n")
	os.Exit(1)
}
