package mailfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"mailrow/poller"
	"mailrow/poller/files"
	"mailrow/poller/identity"
	"mailrow/poller/inotify"
)

const (
	// firstSize is how much of a file tells its form.
	firstSize = 4 << 10
	// lineSize is that of its first line, or enough of it.
	lineSize = 256
)

// folder is one file.
type folder struct {
	source *source
	form   Form
	path   string // without symbolic links
	o      Options

	opened  state
	watch   *inotify.Watch
	moved   map[string]place // where mails are since somebody rewrote the file
	movedAt state

	listed *listed            // the mail that is being listed
	got    *identity.Identity // for compare
	buffer []byte
}

// listed is a mail that was read to be listed: who opens it while it is yielded need
// not read it again, if nobody has touched the file since the listing began. It may be
// half of one otherwise: nobody is kept from writing meanwhile.
type listed struct {
	file    *os.File
	changed int64 // as in state
	place   place
	id      string
	mail    []byte
	large   bool // mail is not all of it
}

func newListed(file *os.File) (*listed, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &listed{file: file, changed: changeOf(info)}, nil
}

// is reports whether it is the mail of an id at a place, as it is in the file.
func (l *listed) is(p place, id string) bool {
	if l == nil || l.place != p || l.id != id || l.large || l.changed == 0 {
		return false
	}
	info, err := l.file.Stat()
	return err == nil && changeOf(info) == l.changed
}

// Write takes bytes of the mail in. It never fails.
func (l *listed) Write(p []byte) (int, error) {
	if l.large = l.large || len(l.mail)+len(p) > inMemory; !l.large {
		l.mail = append(l.mail, p...)
	}
	return len(p), nil
}

// place is where a mail is in the file.
type place struct{ start, end int64 }

// openFolder opens a file. What is none of the form is an error, and nothing is
// touched.
func openFolder(s *source, path string) (*folder, error) {
	f := &folder{source: s, form: s.form(path, s.o), path: path, o: s.o}
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s mailbox: %w", f.form.Name(), err)
	}
	defer file.Close()
	if _, err := f.first(file); err != nil {
		return nil, fmt.Errorf("open %s: %w: correct the path or the scheme", path, err)
	}
	f.opened, err = stateOf(file)
	return f, err
}

// openRegular opens the file of a mailbox: a pipe may have got its name.
func openRegular(path string, mode int) (*os.File, error) {
	file, err := files.OpenRegular(path, mode)
	if errors.Is(err, files.ErrIrregular) {
		return nil, fmt.Errorf("open %s: it is a pipe, a socket, a device or a folder: name a file: %w", path, fs.ErrInvalid)
	}
	return file, err
}

// first gives the begin of the file, which must be of its form.
func (f *folder) first(file io.ReaderAt) ([]byte, error) {
	first := make([]byte, firstSize)
	n, err := file.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	first = first[:n]
	if len(bytes.Trim(first, "\r\n")) > 0 && !f.form.Sniff(first) {
		_, err := f.form.NewReader(bytes.NewReader(first)).Next()
		return nil, err
	}
	return first, nil
}

// whole fails where the file ends before size: somebody has cut it off, and what
// is read is not the end of a mail.
type whole struct {
	*os.File
	size int64
}

func (w whole) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.File.ReadAt(p, at)
	if err == io.EOF && at+int64(n) < w.size {
		err = &poller.BrokenError{Err: fmt.Errorf("read mailbox %s: somebody has cut it off: %w", w.Name(), io.ErrUnexpectedEOF)}
	}
	return n, err
}

func (f *folder) List(ctx context.Context, since string) (*poller.Listing, error) {
	file, now, err := f.settled(ctx)
	if err != nil {
		return nil, fmt.Errorf("list mailbox %s: %w", f.path, err)
	}
	old := parseRevision(since)
	listing := &poller.Listing{Revision: now.revision()}
	start := int64(0)
	switch {
	case now.same(old):
		start = now.size
	case now.grown(file, old) && f.begins(file, old.size):
		start = old.size
	}
	listing.Partial = start > 0
	listing.Entries = func(yield func(poller.Entry, error) bool) {
		defer file.Close()
		if start < now.size {
			f.entries(ctx, file, start, now.size, yield)
		}
	}
	return listing, nil
}

// settled opens the file, and looks at it at a moment when nobody writes to it.
// What is appended later does not matter, and what is rewritten will be noticed.
func (f *folder) settled(ctx context.Context) (file *os.File, now state, err error) {
	l, err := takeLock(ctx, f.path, false, f.o)
	if err != nil {
		return nil, state{}, err
	}
	if now, err = stateOf(l.file); err != nil {
		return nil, state{}, errors.Join(err, l.release())
	}
	file, err = l.keepOpen()
	return file, now, err
}

// begins reports whether a mail begins where the file ended once.
func (f *folder) begins(file io.ReaderAt, at int64) bool {
	var b [1 << 10]byte
	n, _ := file.ReadAt(b[:], at)
	return f.form.Appended(b[:n])
}

// entries yields the mails between start and size.
func (f *folder) entries(ctx context.Context, file *os.File, start, size int64, yield func(poller.Entry, error) bool) {
	if _, err := f.first(file); err != nil {
		yield(poller.Entry{}, &poller.BrokenError{Err: fmt.Errorf("list mailbox %s: %w", f.path, err)})
		return
	}
	r := f.form.NewReader(io.NewSectionReader(whole{file, size}, start, size-start))
	id := identity.New()
	buffer := make([]byte, 64<<10)
	now, err := newListed(file)
	if err != nil {
		yield(poller.Entry{}, fmt.Errorf("list mailbox %s: %w", f.path, err))
		return
	}
	read := io.MultiWriter(id, now)
	for {
		if err := ctx.Err(); err != nil {
			yield(poller.Entry{}, err)
			return
		}
		mail, err := r.Next()
		if err == io.EOF {
			return
		}
		if err == nil {
			id.Reset()
			now.mail, now.large = now.mail[:0], false
			_, err = io.CopyBuffer(read, r, buffer)
		}
		if err != nil {
			yield(poller.Entry{}, fmt.Errorf("list mailbox %s: %w", f.path, err))
			return
		}
		entry := poller.Entry{
			ID: id.String(), Size: id.Size(), Flags: mail.Flags, ReceivedAt: mail.ReceivedAt, Sender: mail.Sender,
			Place: place{start + mail.Start, start + r.End()},
		}
		now.place, now.id, f.listed = entry.Place.(place), entry.ID, now
		more := yield(entry, nil)
		f.listed = nil
		if !more {
			return
		}
	}
}

func (f *folder) Close() error {
	if f.watch == nil {
		return nil
	}
	return f.watch.Close()
}

// Wait is told by the kernel of changes to the file, and compares for what was
// before it was asked.
func (f *folder) Wait(ctx context.Context) error {
	if f.watch != nil {
		return f.watch.Wait(ctx)
	}
	watch, err := inotify.New(f.path)
	if err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	f.watch = watch
	file, err := openRegular(f.path, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	defer file.Close()
	now, err := stateOf(file)
	if err != nil {
		return err
	}
	if !now.same(f.opened) {
		return nil
	}
	return f.watch.Wait(ctx)
}
