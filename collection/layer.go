package collection

import (
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// layerError is trouble of an archive or a compressed file, while something
// inside of it was read: there is one reason, and it is that layer's.
type layerError struct {
	path   string
	at     int64  // byte of that layer, as it is packed; -1 where nobody knows
	within string // what was being read: a member, a mail; "" for nothing inside of it
	err    error
}

func (e *layerError) Error() string { return e.path + ": " + e.err.Error() }
func (e *layerError) Unwrap() error { return e.err }

// layer makes its own what goes wrong in a stream.
type layer struct {
	from io.Reader
	path string
	at   func() int64 // how much of what is packed was read; nil where nobody knows
}

func (l *layer) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	return n, l.own(err)
}

// own leaves alone what a layer below has made its own.
func (l *layer) own(err error) error {
	var below *layerError
	if err == nil || err == io.EOF || errors.As(err, &below) {
		return err
	}
	at := int64(-1)
	if l.at != nil {
		at = l.at()
	}
	return &layerError{path: l.path, at: at, err: err}
}

// within says at which mail or member a layer below failed. The innermost is told.
func within(err error, path string) error {
	var below *layerError
	if errors.As(err, &below) && below.within == "" && below.path != path {
		below.within = strings.TrimLeft(strings.TrimPrefix(path, below.path), "/, ")
	}
	return err
}

// reason says in plain words what a library says in its own, where that is and
// what to do.
func (e *layerError) reason() error {
	var says syscall.Errno
	what := "it is broken"
	remedy := "what is whole before that is read; get a whole copy and import that: only what is missing is stored"
	switch {
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		what = "it is cut off"
	case errors.As(e.err, &says):
		what = "it cannot be read"
		remedy = "what is whole before that is read; mend the disk or the connection and import it again: only what is missing is stored"
	case errors.Is(e.err, gzip.ErrChecksum), errors.Is(e.err, zip.ErrChecksum), errors.Is(e.err, zstd.ErrCRCMismatch):
		what = "its checksum is wrong"
		remedy = "what was read of it before may not be as it was; get a whole copy and import that"
	}
	if e.at >= 0 {
		what += fmt.Sprintf(" at byte %d", e.at)
	}
	if e.within != "" {
		what += ", in " + e.within
	}
	if !errors.Is(e.err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s (%w): %s", what, plainReason(e.err), remedy)
	}
	return fmt.Errorf("%s: %s", what, remedy)
}

// body is a stream that can be looked at before it is read.
type body struct {
	*bufio.Reader
	under *counted
	taken int64
}

func newBody(from io.Reader) *body {
	b := &body{}
	b.under = &counted{from, func(n int64) { b.taken += n }}
	b.Reader = bufio.NewReaderSize(b.under, 64<<10)
	return b
}

// offset is how much of it was read.
func (b *body) offset() int64 { return b.taken - int64(b.Buffered()) }
