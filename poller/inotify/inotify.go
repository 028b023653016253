// Package inotify waits until something comes into a folder or into a file.
package inotify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Watch tells that a name came into one of some folders, or that one of some
// files changed. What leaves a folder it does not tell. It is not safe for
// simultaneous use.
type Watch struct {
	file    *os.File
	watched map[int32]*folder
	lost    error // why nothing will be told any more
}

// folder is one that is watched.
type folder struct {
	path  string
	all   bool     // or names only
	names []string // of the files that are watched in it
}

const (
	// A file is written in place (mbox, MH), renamed or linked.
	comes = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_CLOSE_WRITE
	leave = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_IGNORED
)

// New watches folders and files. A file is watched by its name in its folder,
// so it may be missing, or be replaced; symbolic links are followed. Its error
// wraps errors.ErrUnsupported on a file system that others can change without
// the kernel here seeing it.
func New(paths ...string) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, refused("watch", err)
	}
	w := &Watch{file: os.NewFile(uintptr(fd), "inotify"), watched: map[int32]*folder{}}
	for _, path := range paths {
		if err := w.add(fd, path); err != nil {
			return nil, errors.Join(refused("watch "+path, err), w.file.Close())
		}
	}
	return w, nil
}

func (w *Watch) add(fd int, path string) error {
	dir, name, err := split(path)
	if err != nil {
		return err
	}
	if err := local(dir); err != nil {
		return err
	}
	// The kernel knows a folder by its inode: one that is added twice has one
	// number, under whatever path.
	wd, err := unix.InotifyAddWatch(fd, dir, comes|leave|unix.IN_ONLYDIR)
	if err != nil {
		return err
	}
	f := w.watched[int32(wd)]
	if f == nil {
		f = &folder{path: dir}
		w.watched[int32(wd)] = f
	}
	if name == "" {
		f.all = true
	} else {
		f.names = append(f.names, name)
	}
	return nil
}

// split gives the folder to watch, and the name of the file in it, "" if path
// is the folder itself.
func split(path string) (dir, name string, err error) {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, err = filepath.EvalSymlinks(filepath.Dir(path))
		return dir, filepath.Base(path), err
	case err != nil:
		return "", "", err
	}
	switch info, err := os.Stat(real); {
	case err != nil:
		return "", "", err
	case info.IsDir():
		return real, "", nil
	}
	return filepath.Dir(real), filepath.Base(real), nil
}

// Deadlines of a read.
var (
	never = time.Time{}
	past  = time.Unix(1, 0)
)

// remote are file systems that other machines write to.
var remote = []uint32{
	unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
	unix.AFS_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC,
	unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC, 0x01161970, // GFS2
}

func local(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return err
	}
	if slices.Contains(remote, uint32(stat.Type)) {
		return fmt.Errorf("its file system does not tell what other machines change: %w", errors.ErrUnsupported)
	}
	return nil
}

// refused adds the remedy where the limits of the kernel are reached.
func refused(what string, err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("%s: %w: raise fs.inotify.max_user_instances or the limit of open files", what, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%s: %w: raise fs.inotify.max_user_watches", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Wait returns nil when something came since New or since Wait last returned
// nil, and the error of ctx when that ends first. After any other error nothing
// will be told; it wraps fs.ErrNotExist when a watched folder is gone.
func (w *Watch) Wait(ctx context.Context) error {
	if w.lost != nil {
		return w.lost
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = w.file.SetReadDeadline(past)
		close(ended)
	})
	var came bool
	readErr := raw.Read(func(fd uintptr) bool {
		came, err = w.drain(int(fd))
		return came || err != nil
	})
	if !stop() {
		<-ended // or it would end the next Wait
		if err := w.file.SetReadDeadline(never); err != nil {
			return fmt.Errorf("wait for mail: %w", err)
		}
	}
	switch {
	case err != nil:
		w.lost = fmt.Errorf("wait for mail: %w", err)
		return w.lost
	case came:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("wait for mail: %w", readErr)
}

// drain reads all events that wait.
func (w *Watch) drain(fd int) (came bool, err error) {
	var buffer [64 << 10]byte
	for {
		n, err := unix.Read(fd, buffer[:])
		switch {
		case err == unix.EAGAIN:
			return came, nil
		case err == unix.EINTR:
			continue
		case err != nil:
			return false, err
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(rest))
			mask := binary.NativeEndian.Uint32(rest[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
			name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:end]), "\x00")
			rest = rest[end:]

			folder := w.watched[wd]
			switch {
			case mask&unix.IN_Q_OVERFLOW != 0: // events were dropped
				came = true
			case folder == nil:
			case mask&leave != 0:
				return false, fmt.Errorf("folder %s was removed, moved or unmounted: %w", folder.path, fs.ErrNotExist)
			case folder.all || slices.Contains(folder.names, name):
				came = true
			}
		}
	}
}

// Close ends the watch, and a Wait.
func (w *Watch) Close() error { return w.file.Close() }
