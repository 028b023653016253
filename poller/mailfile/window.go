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
	if section, ok := r.(*io.SectionReader); ok {
		w.at = section
		w.base, _ = section.Seek(0, io.SeekCurrent)
		size = min(size, section.Size()-w.base+1) // one more, or it would grow to find the end
	}
	w.buf = make([]byte, max(size, 512))
	return w
}

// Offset is the place of what is ahead in the stream.
func (w *Window) Offset() int64 { return w.offset }

// Ahead gives what is ahead: n bytes or more, unless the stream ends before. It
// is valid until the next call.
func (w *Window) Ahead(n int) []byte {
	if w.to-w.from < n && w.err == nil {
		w.fill(n)
	}
	return w.buf[w.from:w.to]
}

func (w *Window) fill(n int) {
	if w.from > 0 {
		w.to = copy(w.buf, w.buf[w.from:w.to])
		w.from = 0
	}
	if n > len(w.buf) {
		grown := make([]byte, max(n, 2*len(w.buf)))
		copy(grown, w.buf[:w.to])
		w.buf = grown
	}
	for empty := 0; w.to < n && w.err == nil; {
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
		return far[:read], err == nil || err == io.EOF && (read > 0 || w.ends(offset))
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

// ends reports whether the stream has exactly offset bytes.
func (w *Window) ends(offset int64) bool {
	if offset == 0 {
		return true
	}
	read, _ := w.at.ReadAt(make([]byte, 1), w.base+offset-1)
	return read == 1
}
