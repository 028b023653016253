package systemd

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain is also the program that is given a socket.
func TestMain(m *testing.M) {
	if os.Getenv("MAILROW_TEST_LISTEN") == "" {
		os.Exit(m.Run())
	}
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	list, err := Listeners()
	if err != nil || len(list) != 1 {
		fmt.Println(list, err)
		os.Exit(1)
	}
	conn, err := list[0].Accept()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Fprintln(conn, "hello")
	conn.Close()
	list[0].Close()
}

func notified(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

func read(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestNotify(t *testing.T) {
	conn := notified(t)
	if err := Notify(Ready); err != nil {
		t.Fatal(err)
	}
	if got := read(t, conn); got != Ready {
		t.Errorf("got %q", got)
	}
}

func TestNotifyReloading(t *testing.T) {
	conn := notified(t)
	if err := NotifyReloading(); err != nil {
		t.Fatal(err)
	}
	var usec int64
	got := read(t, conn)
	if _, err := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || usec <= 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNotifyWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := Notify(Ready); err == nil {
		t.Error("a manager that is not there was notified")
	}
}

func TestWatchdogStopsWhenUnwell(t *testing.T) {
	conn := notified(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	well := 2
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watchdog(ctx, func(within time.Duration) bool {
			if within != 10*time.Millisecond {
				t.Errorf("within %v", within)
			}
			well--
			return well >= 0
		})
	}()
	for range 2 {
		if got := read(t, conn); got != alive {
			t.Errorf("got %q", got)
		}
	}
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes from a program that is unwell", n)
	}
	cancel()
	<-done
}

func TestListeners(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 { // the second one after the first has gone
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MAILROW_TEST_LISTEN=1", "LISTEN_FDS=1")
		cmd.ExtraFiles = []*os.File{file}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if line != "hello\n" {
			t.Errorf("got %q, %v", line, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}

func TestNoListenersWithoutManager(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	if list, err := Listeners(); list != nil || err != nil {
		t.Errorf("got %v, %v", list, err)
	}
}
