package mailfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mailrow/internal/newfile"
	"mailrow/poller"
	"mailrow/poller/files"
	"mailrow/poller/identity"
)

// Archive appends mails to another file, each with all that stands around it, and
// then removes them. What is in the archive already, from a try that was broken
// off, is not appended again.
func (f *folder) Archive(ctx context.Context, entries []poller.Entry, name string) error {
	if len(entries) == 0 {
		return nil
	}
	to, err := f.source.make(name, f.path)
	if err == nil && to.path == f.path {
		err = fmt.Errorf("it is the archive itself: %w", fs.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("archive mail of %s: %w", f.path, err)
	}
	to.form = f.form
	now, err := to.take(ctx, f, entries)
	if err != nil {
		return fmt.Errorf("archive mail of %s to %s: %w", f.path, to.path, err)
	}
	if err := f.Remove(ctx, entries); err != nil {
		return err
	}
	f.source.archives[to.path] = now
	return nil
}

// make opens a folder, which it makes where there is none: with the owner and the
// permissions of the file like.
func (s *source) make(name, like string) (*folder, error) {
	if err := s.scan(); err != nil {
		return nil, err
	}
	path, err := s.archive(name, like)
	if err != nil {
		return nil, err
	}
	if err := makeFile(path, like); err != nil {
		return nil, err
	}
	return s.open(path)
}

// archive gives the path of a folder that is there, or may be made beside or below
// the file like.
func (s *source) archive(name, like string) (path string, err error) {
	if path, known := s.paths[name]; known {
		return path, nil
	}
	for step := range strings.SplitSeq(name, "/") {
		if step == "" || strings.HasPrefix(step, ".") || strings.ContainsRune(step, 0) {
			return "", fmt.Errorf("a folder cannot be called %q: %w", name, fs.ErrInvalid)
		}
	}
	root := s.root
	if s.file {
		root = filepath.Dir(like)
	}
	return filepath.Join(root, filepath.FromSlash(name)), nil
}

// CheckArchive also opens an archive that is there: it may be something else.
func (s *source) CheckArchive(folders []string, archive string) error {
	if err := s.scan(); err != nil {
		return err
	}
	for _, name := range folders {
		folder, err := s.open(s.paths[name])
		if err != nil {
			continue // which is told when it is looked into
		}
		path, err := s.archive(archive, folder.path)
		if err != nil {
			return err
		}
		if err := files.Apart(path, folder.path, name); err != nil {
			return err
		}
		if _, err := s.open(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeFile makes an empty mailbox, unless there is a file. A directory above it can
// be entered by whom the file is for.
func makeFile(path, like string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(dir, info); err != nil {
			return err
		}
	}
	f, err := newfile.Create(dir)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := own(f.File, info); err != nil {
		return err
	}
	if err := f.Rename(path, false); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return newfile.Sync(dir)
}

// makeDir makes a directory and those above it, for the owner of a file.
func makeDir(dir string, like fs.FileInfo) error {
	above := filepath.Dir(dir)
	if _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(above, like); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	made, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer made.Close()
	mode := like.Mode().Perm()
	if err := own(made, like); err != nil {
		return err
	}
	return errors.Join(made.Chmod(mode|mode>>2&0o111|0o100), newfile.Sync(above))
}

// take appends mails of another folder, and has them on disk when it returns.
func (f *folder) take(ctx context.Context, from *folder, entries []poller.Entry) (now state, err error) {
	l, err := takeLock(ctx, f.path, true, f.o)
	if err != nil {
		return state{}, err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	a := archive{folder: f, file: l.file, from: from, wanted: map[string]bool{}}
	for _, e := range entries {
		a.wanted[e.ID] = true
	}
	if err := a.look(ctx); err != nil {
		return state{}, err
	}
	for _, e := range entries {
		if err := errors.Join(a.add(ctx, e), l.touch()); err != nil {
			return state{}, errors.Join(err, l.file.Truncate(a.size))
		}
	}
	if err := a.compare(); err != nil {
		return state{}, errors.Join(err, l.file.Truncate(a.size))
	}
	if err := l.file.Sync(); err != nil {
		return state{}, err
	}
	return stateOf(l.file)
}

// archive is a file that mails are appended to.
type archive struct {
	folder *folder
	file   *os.File
	from   *folder
	wanted map[string]bool // ids that are not there yet
	size   int64           // of what was there, and of what is whole
	last   place           // of the mails that were there
	added  []appended
}

// look finds out which mails are there. Where all that was moved there is known to
// be gone from the source, and nobody else was there since, none is.
func (a *archive) look(ctx context.Context) error {
	now, err := stateOf(a.file)
	if err != nil {
		return err
	}
	a.size = now.size
	before, known := a.folder.source.archives[a.folder.path]
	delete(a.folder.source.archives, a.folder.path)
	if before.changed = now.changed; known && now == before {
		return nil
	}
	for entry, err := range a.folder.all(ctx, a.file, a.size) {
		if err != nil {
			return err
		}
		delete(a.wanted, entry.ID)
		a.last = entry.Place.(place)
	}
	return nil
}

// add appends a mail, unless it is there or gone.
func (a *archive) add(ctx context.Context, e poller.Entry) error {
	if !a.wanted[e.ID] {
		return nil
	}
	delete(a.wanted, e.ID)
	source, err := openRegular(a.from.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer source.Close()
	p := e.Place.(place)
	same, err := a.from.compare(source, p, e.ID)
	if err == nil && !same {
		p, err = a.from.find(ctx, e.ID)
	}
	if errors.Is(err, poller.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	piece := io.NewSectionReader(source, p.start, p.end-p.start)
	if len(a.added) == 0 {
		if err := a.cutTorn(piece); err != nil {
			return err
		}
	}
	return a.append(source, piece, e.ID)
}

// appended is a mail in the archive.
type appended struct {
	place
	id string
	// whole is the id of the mail with the line end that it lacked. In an archive
	// every mail has one.
	whole string
}

// cutTorn cuts off what a crash has left of the mail that is appended now: the
// last piece, if the mail begins with it.
func (a *archive) cutTorn(piece *io.SectionReader) error {
	length := a.last.end - a.last.start
	if length == 0 || a.last.end != a.size || length >= piece.Size() {
		return nil
	}
	if same, err := sameBytes(io.NewSectionReader(a.file, a.last.start, length), io.NewSectionReader(piece, 0, length)); err != nil || !same {
		return err
	}
	a.size = a.last.start
	return a.file.Truncate(a.size)
}

// append writes a piece, and around it what keeps it apart from its neighbours.
func (a *archive) append(source *os.File, piece *io.SectionReader, id string) error {
	end, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	tail, err := lastBytes(a.file, end)
	if err != nil {
		return err
	}
	first := make([]byte, firstSize)
	n, err := source.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return err
	}
	less, more := a.folder.form.Join(tail, first[:n])
	if _, err := a.file.WriteAt(more, end-int64(less)); err != nil {
		return err
	}
	start := end - int64(less) + int64(len(more))
	if _, err := a.file.Seek(start, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(a.file, piece); err != nil {
		return err
	}
	if tail, err = lastBytes(piece, piece.Size()); err != nil {
		return err
	}
	finish := a.folder.form.Finish(tail)
	if _, err := a.file.Write(finish); err != nil {
		return err
	}
	added := appended{place{start, start + piece.Size() + int64(len(finish))}, id, id}
	if !bytes.HasSuffix(tail, []byte("\n")) {
		if added.whole, err = a.withLineEnd(piece, first[:n]); err != nil {
			return err
		}
	}
	a.added = append(a.added, added)
	return nil
}

func (a *archive) withLineEnd(piece *io.SectionReader, first []byte) (id string, err error) {
	if _, err := piece.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	r := a.folder.form.NewPiece(piece, first)
	if _, err := r.Next(); err != nil {
		return "", err
	}
	mail := identity.New()
	if _, err := io.Copy(mail, r); err != nil {
		return "", err
	}
	_, _ = mail.Write([]byte{'\n'})
	return mail.String(), nil
}

// compare reads what was appended: the source may have been written to meanwhile.
func (a *archive) compare() error {
	for _, mail := range a.added {
		same, err := a.folder.compare(a.file, mail.place, mail.id)
		if err == nil && !same {
			same, err = a.folder.compare(a.file, mail.place, mail.whole)
		}
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("the mail at byte %d came out as another one", mail.start)
		}
	}
	return nil
}

// lastBytes are the last few bytes before end.
func lastBytes(r io.ReaderAt, end int64) ([]byte, error) {
	b := make([]byte, min(16, end))
	_, err := r.ReadAt(b, end-int64(len(b)))
	if err == io.EOF {
		err = nil
	}
	return b, err
}

// sameBytes compares two readers of the same length.
func sameBytes(a, b io.Reader) (bool, error) {
	one, other := sha256.New(), sha256.New()
	if _, err := io.Copy(one, a); err != nil {
		return false, err
	}
	if _, err := io.Copy(other, b); err != nil {
		return false, err
	}
	return bytes.Equal(one.Sum(nil), other.Sum(nil)), nil
}
