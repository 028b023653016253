package main

// supervised is set by the entry point in supervisor_*.s, where the program is
// linked with -E mailrow_entry. Before the Go runtime starts, that code forks:
// the child becomes the program, the parent waits for it and exits with its
// status, or with 75 when that is not one of ours or there is none. So even
// what no Go code can catch ends in "try again": a panic in a goroutine of a
// library, the runtime's own fatal errors (which exit with 2, a bounce), no
// memory to start with, the kernel's OOM killer, SIGKILL, SIGSEGV.
//
// The parent forwards signals, and the child dies with it.
var supervised uint8
