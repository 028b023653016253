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
