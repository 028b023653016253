package mh

import (
	"time"

	"golang.org/x/sys/unix"

	"mailrow/poller/files"
)

// quiet is for how long nobody must have written to a file where the kernel
// cannot say that nobody has it open.
const quiet = 2 * time.Second

// isWhole says that nobody is writing a file: inc writes mails in place, under
// their number.
func isWhole(path string, stamp files.Stamp) bool {
	age := time.Since(stamp.Time())
	if age > time.Hour {
		return true
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		// A lease for reading is given on a file that nobody has open for writing.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	}
	switch err {
	case nil:
		return true
	case unix.EAGAIN:
		return false
	}
	// Another's file, or a file system without leases. A time to come tells nothing.
	return age > quiet || age < 0
}
