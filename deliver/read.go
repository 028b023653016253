package deliver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// errTooLarge says that a mail is larger than it may be.
var errTooLarge = errors.New("message larger than max_size")

// readMail reads everything that the MTA writes, to the end: an MTA takes
// status 0 for delivered even when nobody read the mail. Beyond max bytes it
// goes on reading without keeping, and ends with errTooLarge.
func readMail(stdin *os.File, max int64) ([]byte, error) {
	room, err := newRoom(max + 1)
	if err != nil {
		return nil, err
	}
	n := 0
	for n < len(room) {
		got, err := stdin.Read(room[n:])
		n += got
		if err == io.EOF {
			return room[:n], nil
		}
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
	}
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return nil, errTooLarge
}

// newRoom is one anonymous mapping: the kernel gives its pages as the mail
// arrives, so that a mail of any size is never copied to grow. Its error is
// errNoMemory.
func newRoom(size int64) ([]byte, error) {
	room, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoMemory, err)
	}
	return room, nil
}
