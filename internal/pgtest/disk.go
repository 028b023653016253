package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// NewOnTmpfs is New on a disk of its own, of sizeMB, which holds the tables and the
// WAL and can be filled up without harm; an empty cluster takes some 80 MB.
func NewOnTmpfs(t testing.TB, conf map[string]string, sizeMB int) *Cluster {
	t.Helper()
	Need(t)
	needRoot(t)
	p, err := findPrograms()
	if err != nil {
		t.Fatal(err)
	}
	c, err := build(p, conf, func(c *Cluster) error {
		disk, err := c.mountTmpfs("data", sizeMB)
		if err != nil {
			return err
		}
		c.disk = disk
		if err := os.Symlink(disk, c.data()); err != nil {
			return err
		}
		return c.initialize()
	})
	missingMount(t, err)
	own(t, c)
	return c
}

// unmount takes the disk of the cluster away, where it has one of its own.
func (c *Cluster) unmount() error {
	if c.disk == "" {
		return nil
	}
	// Detached: a stuck server may still hold files.
	if err := syscall.Unmount(c.disk, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", c.disk, err)
	}
	return nil
}

func (c *Cluster) filler() string { return filepath.Join(c.disk, "filler") }

// FillDisk leaves no free byte on the disk of a cluster made by NewOnTmpfs.
func (c *Cluster) FillDisk(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(c.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		_, err := f.Write(piece)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			piece = piece[:len(piece)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
}

// ExhaustWAL writes WAL on a full disk until there is no room for more, which ends the
// server with a PANIC.
func (c *Cluster) ExhaustWAL(t testing.TB) {
	t.Helper()
	logged := len(c.Log())
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		err := c.exec("select pg_logical_emit_message(true, 'full', 'disk')", "select pg_switch_wal()")
		if err != nil && strings.Contains(c.Log()[logged:], "PANIC:") {
			return
		}
	}
	t.Fatalf("the WAL has room on a full disk: %s", c.tail(logged))
}

// FreeDisk undoes FillDisk, and waits until the server accepts connections again:
// where it had no room for its WAL it has ended, and is started.
func (c *Cluster) FreeDisk(t testing.TB) {
	t.Helper()
	if err := os.Remove(c.filler()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if !c.server.Running() {
			c.Start(t)
		}
		if c.ready() && c.exec("select") == nil {
			return
		}
	}
	t.Fatalf("PostgreSQL does not recover from a full disk: %s", c.tail(0))
}
