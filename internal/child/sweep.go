package child

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Sweep kills what a stopped server left running: every process that has dir
// in its command line, environment or working folder, and their descendants.
// A mail server's delivery commands leave its process group, but not all this.
// dir must be a name that no one else uses.
func Sweep(dir string) {
	parents := map[int]int{}
	victims := map[int]bool{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || pid == os.Getppid() {
			continue
		}
		parents[pid] = parentOf(pid)
		if mentions(pid, dir) {
			victims[pid] = true
		}
	}
	for pid := range parents {
		if victims[pid] || descends(pid, parents, victims) {
			// It may have ended by now.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func descends(pid int, parents map[int]int, from map[int]bool) bool {
	for range len(parents) {
		pid = parents[pid]
		if pid == 0 {
			return false
		}
		if from[pid] {
			return true
		}
	}
	return false
}

func mentions(pid int, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	for _, name := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(filepath.Join(proc, name))
		if err == nil && bytes.Contains(text, []byte(dir)) {
			return true
		}
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	return err == nil && strings.HasPrefix(cwd, dir)
}

// parentOf reads the second field after the name, which may hold anything but
// ends with the last parenthesis.
func parentOf(pid int) int {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(string(fields[1]))
	return ppid
}
