package collection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

// readFile reads a file in a folder that is a unit, or one that was named.
func (r *Reader) readFile(ctx context.Context, p place, info fs.FileInfo, in *Unit, known func(string) bool) error {
	name := filepath.Base(p.path)
	id := ""
	if time.Since(changed(info)) > settled {
		id = fileRevision(info)
	}
	switch {
	case id != "" && known != nil && known(id):
		r.visitor.Known(in, info.Size())
		r.visitor.Advance(info.Size())
		return nil
	case !info.Mode().IsRegular():
		r.visitor.Skipped(p.path)
		return nil
	}
	m := member{path: p.path, dir: p.dir, name: name, modTime: info.ModTime(), size: info.Size(), named: p.named}
	if info.Size() == 0 {
		// Nothing, or a file of the kernel: reading one may wait for ever.
		s := stream{reader: r, ctx: ctx, unit: in}
		return s.settle(s.readUnknown(m, nil, nil))
	}
	// A pipe that took the place of the file meanwhile must not be waited for.
	f, err := os.OpenFile(p.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.visitor.Failed(in, p.path, plainReason(err))
		return nil
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		r.visitor.Failed(in, p.path, errors.New("another file took its place: run it again"))
		return nil
	}
	head := make([]byte, sniffSize)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		r.visitor.Failed(in, p.path, plainReason(err))
		return nil
	}
	kind := sniff(head[:n])
	switch {
	case kind.contains():
		return r.readUnit(ctx, p, m, kind, f, info, in)
	case kind.isMailbox() && !(mayBeOne(name) && holdsOne(m, kind)):
		return r.readMailfile(ctx, m, kind, in, known)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		r.visitor.Failed(in, p.path, plainReason(err))
		return nil
	}
	s := stream{reader: r, ctx: ctx, unit: in, id: id}
	return s.readAll(m, &counted{f, r.visitor.Advance})
}

// smallMailbox is the size of a file of many mails that is settled with its
// folder, rather than by itself.
const smallMailbox = 1 << 20

// readUnit reads an archive or a compressed file.
func (r *Reader) readUnit(ctx context.Context, p place, m member, kind Kind, f *os.File, info fs.FileInfo, in *Unit) error {
	unit := &Unit{Path: p.path, Kind: kind, Folder: r.archiveFolder(m), Within: in}
	past, err := r.visitor.Enter(ctx, unit)
	if err != nil {
		return err
	}
	revision := ""
	if time.Since(changed(info)) > settled {
		revision = fileRevision(info)
	}
	if revision != "" && past.Revision == revision {
		r.visitor.Unchanged(unit)
		r.visitor.Advance(info.Size())
		return nil
	}
	s := stream{reader: r, ctx: ctx, unit: unit, past: past}
	if kind == KindZip {
		err = s.settle(s.readZipAt(m, f, info.Size()))
		r.visitor.Advance(info.Size())
	} else if _, err = f.Seek(0, io.SeekStart); err == nil {
		err = s.readAll(m, &counted{f, r.visitor.Advance})
	}
	if err != nil {
		return err
	}
	r.visitor.Leave(unit, revision)
	return nil
}

// fileRevision changes whenever the content of a file may have.
func fileRevision(info fs.FileInfo) string {
	id := idOf(info)
	return fmt.Sprintf("%d.%d.%d.%d.%d", id.device, id.inode, info.Size(), info.ModTime().UnixNano(), changed(info).UnixNano())
}

// archiveFolder is what is above the folders in an archive.
func (r *Reader) archiveFolder(m member) string {
	if m.named {
		return r.folder(m.dir, "")
	}
	return r.folder(path.Join(m.dir, stem(m.name)), "")
}
