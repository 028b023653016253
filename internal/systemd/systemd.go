// Package systemd speaks with the service manager that started the program: it
// tells how the program is (sd_notify(3)) and takes the sockets that were opened
// for it (sd_listen_fds(3)). Without a service manager it does nothing.
package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What Notify tells.
const (
	Ready     = "READY=1"
	Reloading = "RELOADING=1"
	Stopping  = "STOPPING=1"
	alive     = "WATCHDOG=1"
)

// Notify tells the manager a state, such as Ready or "STATUS=…". Without a manager
// it returns nil.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if strings.HasPrefix(name, "@") { // an abstract socket
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// NotifyReloading tells the manager that the program reads its configuration anew,
// until it is Ready again: Type=notify-reload waits for that.
func NotifyReloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return Notify(Reloading + "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

// Watchdog tells the manager at half of the interval it asks for that the program
// lives, as long as lives says so and until ctx ends. lives is given that half: what
// should have happened within it has to. It returns at once where the manager asks
// for nothing.
func Watchdog(ctx context.Context, lives func(within time.Duration) bool) {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || usec <= 0 || (pid != "" && pid != strconv.Itoa(os.Getpid())) {
		return
	}
	half := time.Duration(usec) * time.Microsecond / 2
	every := time.NewTicker(half)
	defer every.Stop()
	for {
		if lives(half) {
			Notify(alive) // a manager that is gone needs no answer
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// firstSocket is the number of the first descriptor that is passed on.
const firstSocket = 3

// Listeners gives the sockets that the manager opened for this program, and none
// where it opened none. They stay open when the program ends: who comes meanwhile
// waits for the next one.
func Listeners() ([]net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n <= 0 {
		return nil, nil
	}
	var list []net.Listener
	for fd := firstSocket; fd < firstSocket+n; fd++ {
		syscall.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(file)
		file.Close() // FileListener has a copy
		if err != nil {
			for _, open := range list {
				open.Close()
			}
			return nil, fmt.Errorf("take socket %d of the service manager: %w", fd, err)
		}
		if unix, ok := l.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false)
		}
		list = append(list, l)
	}
	return list, nil
}
