package collection

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// readZip reads the members of a zip, whose list of members is at its end. One
// that comes in a stream is therefore kept, still packed: in memory or, where
// that would be too much, in a file without a name.
func (s *stream) readZip(m member, body io.Reader) error {
	in := &layer{path: m.path}
	at, size, done, err := kept(body)
	if err != nil {
		return s.ownLayer(m, in.own(err))
	}
	defer done()
	return s.readZipAt(m, at, size)
}

// readZipAt reads a zip that can be read at any place.
func (s *stream) readZipAt(m member, at io.ReaderAt, size int64) error {
	files, err := zip.NewReader(at, size)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the archive is cut off or broken: zip -FF mends what can be mended, or get a whole copy")
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // of a name we only show
		return s.failed(m, err)
	}
	for _, file := range files.File {
		if file.FileInfo().IsDir() || !file.Mode().IsRegular() {
			continue
		}
		inner := s.memberOf(m, strings.ReplaceAll(file.Name, `\`, "/"))
		inner.size, inner.modTime = int64(file.UncompressedSize64), file.Modified
		if err := s.readZipMember(inner, file); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) readZipMember(m member, file *zip.File) error {
	in := &layer{path: m.path}
	if file.Flags&1 != 0 {
		return s.failed(m, errors.New("it is encrypted: unpack it first"))
	}
	body, err := file.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		err = fmt.Errorf("compression method %d is not known: unpack it first", file.Method)
	}
	if err != nil {
		return s.ownLayer(m, in.own(err))
	}
	defer body.Close()
	in.from = body
	return s.ownLayer(m, s.read(m, in))
}

// keptInMemory is how much of a zip in a stream is kept in memory.
const keptInMemory = 16 << 20

// kept reads all of a stream to where it can be read at any place.
func kept(body io.Reader) (at io.ReaderAt, size int64, done func(), err error) {
	var b bytes.Buffer
	n, err := io.CopyN(&b, body, keptInMemory)
	if err == io.EOF {
		return bytes.NewReader(b.Bytes()), n, func() {}, nil
	}
	if err != nil {
		return nil, 0, nil, err
	}
	f, err := os.CreateTemp("", "mailrow-zip-")
	if err != nil {
		return nil, 0, nil, fmt.Errorf("keep archive: %w", err)
	}
	os.Remove(f.Name())
	size, err = io.Copy(f, io.MultiReader(&b, body))
	if err != nil {
		f.Close()
		return nil, 0, nil, err
	}
	return f, size, func() { f.Close() }, nil
}
