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
	"strings"
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
		if err := r.readDir(ctx, place{path: absolute}, info); err != nil {
			return err
		}
		return r.readLinked(ctx)
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

// file is a file in a folder, below a folder in it.
func (p place) file(name string) place { return place{path: filepath.Join(p.path, name), dir: p.dir} }
func (p place) below(name string) place {
	return place{path: filepath.Join(p.path, name), dir: path.Join(p.dir, name)}
}

// listing is the names in a folder by what they are.
type listing struct {
	dirs, linked, files []string // linked are folders elsewhere
	revision            string   // of the files; "" when they changed a moment ago
	bytes               int64    // of the files
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
		path := filepath.Join(dir, name)
		info, linked, err := look(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP):
			continue // gone, or a link to nowhere
		case err != nil:
			r.visitor.Failed(nil, path, plainReason(err))
			fresh = true
		case info.IsDir() && linked:
			l.linked = append(l.linked, name)
		case info.IsDir():
			l.dirs = append(l.dirs, name)
		case info.Mode().IsRegular():
			l.files = append(l.files, name)
			l.bytes += info.Size()
			addRevision(sum, name, info)
			fresh = fresh || time.Since(changed(info)) < settled
		default:
			r.visitor.Skipped(path)
		}
	}
	if !fresh {
		l.revision = hex.EncodeToString(sum.Sum(nil))
	}
	return l, nil
}

// errForeign is why a link is not followed: whoever imports as root would
// read for its owner what that one may not.
var errForeign = errors.New("it is a link to what is not its owner's: name what it leads to")

// look gives what a name is, or what its link leads to.
func look(path string) (info fs.FileInfo, linked bool, err error) {
	info, err = os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return info, false, err
	}
	target, err := os.Stat(path)
	if err != nil {
		return nil, true, err
	}
	switch by := ownerOf(info); by {
	case ownerOf(target), 0, uint32(os.Geteuid()):
		return target, true, nil
	}
	return nil, true, errForeign
}

func ownerOf(info fs.FileInfo) uint32 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ^uint32(0)
	}
	return stat.Uid
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

// readDir reads a folder and what is below it, each folder once. Where links lead
// is read last, so that a folder is met where it is.
func (r *Reader) readDir(ctx context.Context, p place, info fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if id := idOf(info); r.seen[id] {
		return nil
	} else {
		r.seen[id] = true
	}
	l, err := r.list(p.path)
	if err != nil {
		r.visitor.Failed(nil, p.path, plainReason(err))
		return nil
	}
	if slices.Contains(l.dirs, "cur") || slices.Contains(l.dirs, "new") {
		if err := r.readMaildir(ctx, p); err != nil {
			return err
		}
		l.dirs = slices.DeleteFunc(l.dirs, func(name string) bool {
			return slices.Contains(maildirParts, name) && !holdsMaildir(filepath.Join(p.path, name))
		})
	}
	if slices.Contains(l.files, ".mh_sequences") {
		if err := r.readMH(ctx, p); err != nil {
			return err
		}
		l.files = slices.DeleteFunc(l.files, isMHFile)
	}
	if len(l.files) > 0 {
		if err := r.readFiles(ctx, p, l); err != nil {
			return err
		}
	}
	for _, name := range l.dirs {
		sub := p.below(name)
		info, err := os.Stat(sub.path)
		if err != nil {
			r.visitor.Failed(nil, sub.path, plainReason(err))
			continue
		}
		if err := r.readDir(ctx, sub, info); err != nil {
			return err
		}
	}
	for _, name := range l.linked {
		r.links = append(r.links, p.below(name))
	}
	return nil
}

// isMHFile tells what MH keeps in a folder: mails have numbers, and those that
// were removed a comma or a hash before them.
func isMHFile(name string) bool {
	number := strings.TrimLeft(name, ",#")
	return name == ".mh_sequences" || number != "" && strings.Trim(number, "0123456789") == ""
}

// readLinked reads the folders that links lead to.
func (r *Reader) readLinked(ctx context.Context) error {
	for len(r.links) > 0 {
		p := r.links[0]
		r.links = r.links[1:]
		info, err := os.Stat(p.path)
		if err != nil {
			r.visitor.Failed(nil, p.path, plainReason(err))
			continue
		}
		if err := r.readDir(ctx, p, info); err != nil {
			return err
		}
	}
	return nil
}

// maildirParts are the folders of a Maildir that are no folders of mail.
var maildirParts = []string{"cur", "new", "tmp"}

// holdsMaildir says whether a folder is one of mail though it is called "new".
func holdsMaildir(path string) bool {
	for _, sub := range maildirParts[:2] {
		if info, err := os.Stat(filepath.Join(path, sub)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
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
		r.visitor.Advance(l.bytes)
		return nil
	}
	for _, name := range l.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := p.file(name)
		info, _, err := look(file.path)
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
