package files

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Open gives the bytes of the file of a stamp. Its reader fails when the file is
// cut off or written to meanwhile.
func Open(path string, want Stamp) (io.ReadCloser, error) {
	// Not blocking: a pipe of that name would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	switch got, err := fstat(f); {
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	case got != want:
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrOther)
	}
	return &reader{file: f, left: want.Size, want: want}, nil
}

// OpenRegular opens a file. What is none is ErrIrregular: opening a pipe would wait
// for its other end, and reading a device for ever.
func OpenRegular(path string, mode int) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: %w", path, ErrIrregular)
	}
	f, err := os.OpenFile(path, mode|unix.O_NONBLOCK, 0) // it may be another by now
	if err != nil {
		return nil, err
	}
	if _, err := fstat(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

type reader struct {
	file *os.File
	left int64
	want Stamp
}

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, r.end()
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.file.Read(p)
	r.left -= int64(n)
	if err == io.EOF {
		err = fmt.Errorf("%s: cut off by %d bytes: %w", r.file.Name(), r.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// end is io.EOF if the file is still what it was.
func (r *reader) end() error {
	switch got, err := fstat(r.file); {
	case err != nil:
		return err
	case got != r.want:
		return fmt.Errorf("%s: written to while it was read: %w", r.file.Name(), io.ErrUnexpectedEOF)
	}
	return io.EOF
}

func (r *reader) Close() error { return r.file.Close() }
