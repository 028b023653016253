package collection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// fileID is a file or folder, however many names it has.
type fileID struct{ device, inode uint64 }

func idOf(info fs.FileInfo) fileID {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{stat.Dev, stat.Ino}
}

// settled is how long a file must have been left alone for its times to tell
// whether it changes: a second change in the same tick of the clock would not.
const settled = 2 * time.Second

func (r *Reader) readPath(ctx context.Context, name string) error {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	info, err := os.Stat(absolute)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	switch {
	case info.IsDir():
		return r.readDir(ctx, place{path: absolute}, info)
	case !info.Mode().IsRegular():
		return fmt.Errorf("read %s: it is neither a file nor a folder: to read from a pipe, name -", name)
	}
	return r.readFile(ctx, place{path: absolute, named: true}, info, nil, nil)
}

// place is a file or a folder on disk.
type place struct {
	path  string
	dir   string // below the folder that was named; "" at its top
	named bool
}

func (p place) in(name string) place { return place{path: filepath.Join(p.path, name), dir: p.dir} }

// listing is the names in a folder by what they are.
type listing struct {
	dirs, files []string
	revision    string
}

// list reads a folder. Whatever is neither a file nor a folder, such as a pipe
// or a device, is left out.
func (r *Reader) list(dir string) (listing, error) {
	var l listing
	f, err := os.Open(dir)
	if err != nil {
		return l, err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return l, err
	}
	slices.Sort(names)
	sum, fresh := sha256.New(), false
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP):
			continue // gone, or a link to nowhere
		case err != nil:
			l.files = append(l.files, name) // opening it will tell what is wrong
			fresh = true
		case info.IsDir():
			l.dirs = append(l.dirs, name)
		case info.Mode().IsRegular():
			l.files = append(l.files, name)
			addRevision(sum, name, info)
			fresh = fresh || time.Since(changed(info)) < settled
		default:
			r.visitor.Skipped(filepath.Join(dir, name))
		}
	}
	if !fresh {
		l.revision = hex.EncodeToString(sum.Sum(nil))
	}
	return l, nil
}

func addRevision(sum hash.Hash, name string, info fs.FileInfo) {
	id := idOf(info)
	fmt.Fprintf(sum, "%s\x00%d %d %d %d %d\n", name, id.device, id.inode, info.Size(), info.ModTime().UnixNano(), changed(info).UnixNano())
}

// changed is when a file was written or renamed last, which nobody can set.
func changed(info fs.FileInfo) time.Time {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Now()
	}
	return time.Unix(stat.Ctim.Unix())
}

// readDir reads a folder and what is below it, each folder once.
func (r *Reader) readDir(ctx context.Context, p place, info fs.FileInfo) error {
	if id := idOf(info); r.seen[id] {
		return nil
	} else {
		r.seen[id] = true
	}
	l, err := r.list(p.path)
	if err != nil {
		r.visitor.Failed(nil, p.path, plainReason(err))
		return ctx.Err()
	}
	if len(l.files) > 0 {
		if err := r.readFiles(ctx, p, l); err != nil {
			return err
		}
	}
	for _, name := range l.dirs {
		sub := p.in(name)
		sub.dir = path.Join(p.dir, name)
		info, err := os.Stat(sub.path)
		if err != nil {
			r.visitor.Failed(nil, sub.path, plainReason(err))
			continue
		}
		if err := r.readDir(ctx, sub, info); err != nil {
			return err
		}
	}
	return nil
}

// plainReason is an error of the file system without the path, which is told
// beside it.
func plainReason(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return err
}

// readFiles reads the files of a folder.
func (r *Reader) readFiles(ctx context.Context, p place, l listing) error {
	unit := &Unit{Path: p.path, Kind: KindFolder, Folder: r.folder(p.dir, "")}
	past, err := r.visitor.Enter(ctx, unit)
	if err != nil {
		return err
	}
	if past.Revision != "" && past.Revision == l.revision {
		r.visitor.Unchanged(unit)
		return nil
	}
	for _, name := range l.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := p.in(name)
		info, err := os.Stat(file.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.visitor.Failed(unit, file.path, plainReason(err))
			continue
		}
		if err := r.readFile(ctx, file, info, unit, past.Has); err != nil {
			return err
		}
	}
	r.visitor.Leave(unit, l.revision)
	return nil
}
