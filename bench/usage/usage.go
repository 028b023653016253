// Package usage tells what processes take, from /proc: those of a server and all
// that it has started, without any privilege or control group.
package usage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a line of /proc/PID/stat, as far as it matters.
type process struct {
	parent int
	ticks  int64 // of the processor, with those of children that have ended
}

// ticksPerSecond is what Linux shows times in, whatever it counts in (proc(5), USER_HZ).
const ticksPerSecond = 100

// CPU is the processor time in seconds of processes and of all that they ever
// started, except what a child has left behind that they did not wait for. Two
// values differ by what was used in between, to a few hundredths of a second.
func CPU(pids ...int) float64 {
	all := processes()
	var ticks int64
	for _, pid := range tree(all, pids) {
		ticks += all[pid].ticks
	}
	return float64(ticks) / ticksPerSecond
}

// Memory is what processes and all that they have started take now, in bytes.
// What several of them have is counted once; memory that they share on purpose,
// as PostgreSQL's buffers, is not. A process of another user counts for nothing
// unless we are root.
func Memory(pids ...int) (sum int64) {
	for _, pid := range tree(processes(), pids) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // it may have ended
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if name == "Pss_Anon" || name == "Pss_File" {
				kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
				sum += kib << 10
			}
		}
	}
	return sum
}

// Self is the processor time in seconds of this process, without children.
func Self() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // the arguments are right
	}
	return (time.Duration(used.Utime.Nano()) + time.Duration(used.Stime.Nano())).Seconds()
}

// Disk is the room that a folder takes with all that is in it, in bytes.
func Disk(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	return sum, err
}

func processes() map[int]process {
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := make(map[int]process, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The program's name, in parentheses, may have blanks and parentheses itself.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		number := func(field int) int64 { // as proc(5) counts them: the state is 3
			n, _ := strconv.ParseInt(fields[field-3], 10, 64)
			return n
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		all[pid] = process{parent: int(number(4)), ticks: number(14) + number(15) + number(16) + number(17)}
	}
	return all
}

// tree gives those of the processes that there are, and their descendants.
func tree(all map[int]process, pids []int) (found []int) {
	for pid := range all {
		for up := pid; up != 0; up = all[up].parent {
			if slices.Contains(pids, up) {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
