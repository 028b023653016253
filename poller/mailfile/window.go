package mailfile

import (
	"fmt"
	"io"
)

const (
	// windowSize is what is read at once.
	windowSize = 256 << 10
	// MaxAhead is the most that a Window keeps to look ahead.
	MaxAhead = 64 << 20
)

// Window is the part of a stream that can be looked at before it is consumed.
type Window struct {
	r        io.Reader
	at       io.ReaderAt // r, where it has that
	base     int64       // of r in at
	buf      []byte
	from, to int   // buf[from:to] is ahead
	offset   int64 // of buf[from] in the stream
	err      error // what ended the stream
}

// NewWindow makes the window of a stream. Far ahead it looks with ReadAt, where r
// is a section of a file, and else reads on.
func NewWindow(r io.Reader) *Window {
	w := &Window{r: r}
	size := int64(windowSize)
	switch r := r.(type) { // one byte more, or it would grow to find the end
	case *io.SectionReader:
		w.at = r
		w.base, _ = r.Seek(0, io.SeekCurrent)
		size = min(size, r.Size()-w.base+1)
	case interface{ Len() int }: // of bytes or strings
		size = min(size, int64(r.Len()+1))
	}
	w.buf = make([]byte, max(size, 512))
	return w
}

// Offset is the place of what is ahead in the stream.
func (w *Window) Offset() int64 { return w.offset }

// Ahead gives what is ahead: n bytes or more, unless the stream ends before. It
// is valid until the next call.
func (w *Window) Ahead(n int) []byte {
	w.fill(n)
	return w.buf[w.from:w.to]
}

// fill moves what is ahead only when that makes room for as much again: each byte
// is moved once, however far somebody looks.
func (w *Window) fill(n int) {
	for empty := 0; w.to-w.from < n && w.err == nil; {
		if w.to == len(w.buf) {
			if w.from >= len(w.buf)/2 {
				w.to = copy(w.buf, w.buf[w.from:])
				w.from = 0
			} else { // no more than there is: n may be a lie
				w.buf = append(w.buf, make([]byte, len(w.buf))...)
			}
		}
		read, err := w.r.Read(w.buf[w.to:])
		w.to += read
		w.err = err
		if empty++; read > 0 {
			empty = 0
		} else if empty == 100 {
			w.err = io.ErrNoProgress
		}
	}
}

// Skip moves over n bytes that are ahead.
func (w *Window) Skip(n int) {
	w.from += n
	w.offset += int64(n)
}

// Ended reports that nothing comes after what is ahead.
func (w *Window) Ended() bool { return w.err != nil }

// Err is the error that ended the stream; nil at its end proper, and before.
func (w *Window) Err() error {
	if w.err == nil || w.err == io.EOF {
		return nil
	}
	return fmt.Errorf("read at byte %d: %w", w.offset+int64(w.to-w.from), w.err)
}

// Look gives up to n bytes from an offset that is not behind, and less only at
// the end. It is false where the stream ends before, or the offset is so far
// ahead that it cannot be kept.
func (w *Window) Look(offset int64, n int) ([]byte, bool) {
	distance := offset - w.offset
	if w.at != nil && distance+int64(n) > int64(w.to-w.from) {
		far := make([]byte, n)
		read, err := w.at.ReadAt(far, w.base+offset)
		return far[:read], err == nil || err == io.EOF && read > 0
	}
	if distance > MaxAhead {
		return nil, false
	}
	ahead := w.Ahead(int(distance) + n)
	if int64(len(ahead)) < distance || w.Err() != nil {
		return nil, false
	}
	ahead = ahead[distance:]
	return ahead[:min(n, len(ahead))], true
}
