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
	"mailrow/poller/identity"
)

// inMemory is the size up to which a mail is read and compared before any of it
// is given out. A larger one is read twice.
const inMemory = 4 << 20

// errOther says that other bytes stand where a mail was.
var errOther = errors.New("other bytes stand in its place")

func (f *folder) Open(ctx context.Context, e poller.Entry) (io.ReadCloser, error) {
	p := e.Place.(place)
	if f.listed.is(p, e.ID) {
		return io.NopCloser(bytes.NewReader(bytes.Clone(f.listed.mail))), nil
	}
	r, err := f.open(p, e.ID)
	if errors.Is(err, errOther) {
		if p, err = f.find(ctx, e.ID); err == nil {
			r, err = f.open(p, e.ID)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &poller.BrokenError{Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open mail at byte %d of %s: %w", p.start, f.path, err)
	}
	return r, nil
}

// open gives the mail at a place, if its id is that.
func (f *folder) open(p place, id string) (io.ReadCloser, error) {
	file, err := openRegular(f.path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if p.end-p.start <= inMemory {
		defer file.Close()
		return f.readWhole(file, p, id)
	}
	same, err := f.compare(file, p, id)
	if err == nil && !same {
		err = errOther
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r, err := f.piece(file, p)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &checked{file, r, identity.New(), id}, nil
}

func (f *folder) readWhole(file *os.File, p place, id string) (io.ReadCloser, error) {
	r, err := f.piece(file, p)
	if err != nil {
		return nil, err
	}
	var mail bytes.Buffer
	mail.Grow(int(p.end-p.start) + bytes.MinRead)
	if _, err := mail.ReadFrom(r); err != nil {
		return nil, err
	}
	got := identity.New()
	_, _ = got.Write(mail.Bytes())
	if got.String() != id {
		return nil, errOther
	}
	return io.NopCloser(&mail), nil
}

// compare reports whether the mail of an id is at a place.
func (f *folder) compare(file *os.File, p place, id string) (same bool, err error) {
	r, err := f.piece(file, p)
	if errors.Is(err, errOther) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if f.got == nil {
		f.got, f.buffer = identity.New(), make([]byte, 32<<10)
	}
	f.got.Reset()
	_, err = io.CopyBuffer(f.got, r, f.buffer)
	return f.got.String() == id, err
}

// piece goes to the mail at a place.
func (f *folder) piece(file *os.File, p place) (Reader, error) {
	var first [lineSize]byte
	n, err := file.ReadAt(first[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	r := f.form.NewPiece(io.NewSectionReader(file, p.start, p.end-p.start), first[:n])
	var not *NotOneError
	switch _, err := r.Next(); {
	case err == io.EOF, errors.As(err, &not):
		return nil, errOther
	case err != nil:
		return nil, err
	}
	return r, nil
}

// checked fails at the end of a mail that was changed since it was compared.
type checked struct {
	file *os.File
	r    io.Reader
	id   *identity.Identity
	want string
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	_, _ = c.id.Write(p[:n])
	if err == io.EOF && c.id.String() != c.want {
		err = &poller.BrokenError{Err: fmt.Errorf("read mail: somebody has rewritten %s meanwhile", c.file.Name())}
	}
	return n, err
}

func (c *checked) Close() error { return c.file.Close() }

// find looks where a mail is after somebody has rewritten the file: poller.ErrGone
// if it is nowhere.
func (f *folder) find(ctx context.Context, id string) (place, error) {
	file, now, err := f.settled(ctx)
	if err != nil {
		return place{}, err
	}
	defer file.Close()
	if f.moved == nil || now != f.movedAt {
		f.moved, f.movedAt = map[string]place{}, now
		for entry, err := range f.all(ctx, file, now.size) {
			if err != nil {
				f.moved = nil
				return place{}, err
			}
			f.moved[entry.ID] = entry.Place.(place)
		}
	}
	p, ok := f.moved[id]
	if !ok {
		return place{}, poller.ErrGone
	}
	return p, nil
}

// all are the mails of the file up to size.
func (f *folder) all(ctx context.Context, file *os.File, size int64) func(func(poller.Entry, error) bool) {
	return func(yield func(poller.Entry, error) bool) {
		if size > 0 {
			f.entries(ctx, file, 0, size, yield)
		}
	}
}
