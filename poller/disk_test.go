package poller

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestFullDiskHasARemedy(t *testing.T) {
	err := remedied(fmt.Errorf("list: %w", &fs.PathError{Op: "open", Path: "/var/mail/ann.lock", Err: syscall.ENOSPC}))
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasSuffix(err.Error(), "no space left on device: make room on the disk of the mailbox: nothing is lost, and the next run goes on") {
		t.Error(err)
	}
	if err := remedied(fs.ErrPermission); err != fs.ErrPermission {
		t.Error(err)
	}
	if err := remedied(nil); err != nil {
		t.Error(err)
	}
}
