package child_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
)

// TestMain: with CHILD_OF set, the binary is the parent that gets killed.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_OF") == "" {
		os.Exit(m.Run())
	}
	sleep := exec.Command("sleep", "60")
	if os.Getuid() == 0 {
		// Most servers are of another user.
		nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
		sleep.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
	}
	p, err := child.Start(sleep, syscall.SIGTERM)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	time.Sleep(time.Minute)
}

func TestChildDiesWithKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_OF=test")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if !alive(pid) {
		t.Fatal("the child died before its parent")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for range 100 {
		if !alive(pid) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the child survived its parent")
}

// alive: a zombie waiting for init is dead.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestStop(t *testing.T) {
	tests := []struct {
		name, script string
		wantErr      string
	}{
		{"obedient", "exec sleep 60", ""},
		{"deaf", "trap '' TERM; echo; while :; do sleep 1; done", "was killed"},
		{"ended already", "exit 3", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := child.Start(exec.Command("sh", "-c", tt.script), syscall.SIGKILL)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // for the trap
			err = p.Stop(syscall.SIGTERM, 200*time.Millisecond)
			if got := fmt.Sprint(err); (err != nil) != (tt.wantErr != "") || !strings.Contains(got, tt.wantErr) {
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
			if p.Running() || alive(p.Pid()) {
				t.Error("still running")
			}
		})
	}
}
