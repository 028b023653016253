package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/smalldisk"
)

// NewOnTmpfs is New on a disk of its own, of sizeMB, which holds the tables and the
// WAL and can be filled up without harm; an empty cluster takes some 80 MB.
func NewOnTmpfs(t testing.TB, conf map[string]string, sizeMB int) *Cluster {
	t.Helper()
	Need(t)
	smalldisk.Need(t)
	p, err := findPrograms()
	if err != nil {
		t.Fatal(err)
	}
	c, err := build(p, conf, func(c *Cluster) error {
		disk, options := c.small("data")
		if err := smalldisk.Make(disk, sizeMB<<20, options); err != nil {
			return err
		}
		c.disk = disk
		if err := os.Symlink(disk, c.data()); err != nil {
			return err
		}
		return c.initialize()
	})
	smalldisk.Must(t, err)
	own(t, c)
	return c
}

// unmount takes the disk of the cluster away, where it has one of its own.
func (c *Cluster) unmount() error {
	if c.disk == "" {
		return nil
	}
	return smalldisk.Unmount(c.disk)
}

// small is the folder of a small disk below that of the cluster, and how to mount it
// for its server.
func (c *Cluster) small(name string) (dir, options string) {
	return filepath.Join(c.dir.Path, smalldisk.Prefix+name),
		fmt.Sprintf("mode=0700,uid=%d,gid=%d", c.user.Uid, c.user.Gid)
}

// FillDisk leaves no free byte on the disk of a cluster made by NewOnTmpfs.
func (c *Cluster) FillDisk(t testing.TB) {
	t.Helper()
	c.makeRoom = smalldisk.Fill(t, c.disk)
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
	c.makeRoom()
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
