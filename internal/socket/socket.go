// Package socket opens sockets to listen on, as people write them.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// Listen opens a socket:
//
//	unix:/run/mailrow/lmtp                             for whoever may write to it
//	unix:/run/mailrow/lmtp,mode=0660,group=postfix     mode (default 0660) and group as said
//	tcp:127.0.0.1:2424
//
// A socket that a dead program left behind is replaced; one that somebody listens
// on is an error, and so is a file that is no socket.
func Listen(address string) (net.Listener, error) {
	kind, rest, _ := strings.Cut(address, ":")
	switch kind {
	case "tcp":
		l, err := net.Listen("tcp", rest)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return l, nil
	case "unix":
		place, err := parseUnix(rest)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		l, err := place.listen()
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return l, nil
	}
	return nil, fmt.Errorf("listen on %q: write unix:PATH,mode=0660,group=GROUP or tcp:127.0.0.1:PORT", address)
}

// unixPlace is a socket in the file system.
type unixPlace struct {
	path  string
	mode  fs.FileMode
	group int // -1: that of the process
}

func parseUnix(s string) (unixPlace, error) {
	options := strings.Split(s, ",")
	p := unixPlace{path: options[0], mode: 0o660, group: -1}
	if p.path == "" {
		return p, errors.New("the path is missing")
	}
	for _, option := range options[1:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "mode":
			n, err := strconv.ParseUint(value, 8, 12)
			if err != nil {
				return p, fmt.Errorf("%q is no mode such as 0660", value)
			}
			p.mode = fs.FileMode(n)
		case "group":
			group, err := user.LookupGroup(value)
			if err != nil {
				return p, fmt.Errorf("find group %q: %w", value, err)
			}
			if p.group, err = strconv.Atoi(group.Gid); err != nil {
				return p, fmt.Errorf("find group %q: %w", value, err)
			}
		default:
			return p, fmt.Errorf("unknown option %q: there are mode and group", name)
		}
	}
	return p, nil
}

var errInUse = errors.New("another program listens there")

// listen binds under another name, which then takes the place of what a dead
// program left: at no moment is there a socket that nobody may use, or none.
func (p unixPlace) listen() (net.Listener, error) {
	switch at, err := os.Lstat(p.path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case at.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("there is a file that is no socket")
	default:
		if conn, err := net.DialTimeout("unix", p.path, time.Second); err == nil {
			conn.Close()
			return nil, errInUse
		}
	}
	bound := p.path + "." + strconv.Itoa(os.Getpid())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// Who comes next has replaced it by then: it is not ours to remove.
	l.SetUnlinkOnClose(false)
	err = p.adorn(bound)
	if err == nil {
		err = os.Rename(bound, p.path)
	}
	if err != nil {
		l.Close()
		os.Remove(bound)
		return nil, err
	}
	return l, nil
}

func (p unixPlace) adorn(path string) error {
	if p.group >= 0 {
		if err := os.Chown(path, -1, p.group); err != nil {
			return err
		}
	}
	return os.Chmod(path, p.mode)
}
