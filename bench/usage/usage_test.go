package usage

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A shell whose children come and go, as a server's.
func TestCPUCountsChildrenThatHaveEnded(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `
		for i in 1 2 3; do sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'; done
		echo done; read line`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	used, memory := CPU(cmd.Process.Pid), Memory(cmd.Process.Pid)
	in.Close()
	cmd.Wait() // read fails at the end of file
	whole := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if used < whole-0.05 || used > whole+0.05 || whole < 0.02 {
		t.Errorf("%.2f s, and %.2f s in the end", used, whole)
	}
	if memory < 50<<10 || memory > 50<<20 {
		t.Errorf("%d bytes of memory", memory)
	}
	if got := CPU(cmd.Process.Pid); got != 0 {
		t.Errorf("%g s of a process that is gone", got)
	}
}

func TestDiskCountsBlocks(t *testing.T) {
	dir := t.TempDir()
	before, err := Disk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := Disk(dir)
	if err != nil || after-before < 100_000 || after-before > 200_000 {
		t.Errorf("%d bytes before and %d after: %v", before, after, err)
	}
}
