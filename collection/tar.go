package collection

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const tarBlock = 512

// readTar reads the members of a tar. Where a header is broken it goes on with
// the next that is not: one bad block does not cost what is behind it.
func (s *stream) readTar(m member, body *body) error {
	in := &layer{path: m.path, at: body.offset}
	blocks := &blocks{from: body}
	files := tar.NewReader(blocks)
	for {
		header, err := files.Next()
		switch {
		case err == io.EOF && !blocks.atEnd():
			return s.ownLayer(m, in.own(io.ErrUnexpectedEOF))
		case err == io.EOF:
			return nil
		case errors.Is(err, tar.ErrHeader):
			s.reader.visitor.Failed(s.unit, m.path, fmt.Errorf("a part of the archive is broken before byte %d: what is behind it is read; get a whole copy and import that: only what is missing is stored", body.offset()))
			if err := skipToHeader(body.Reader); err != nil {
				return s.ownLayer(m, in.own(withoutEOF(err)))
			}
			files = tar.NewReader(blocks)
			continue
		case err != nil:
			return s.ownLayer(m, in.own(err))
		case header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeGNUSparse:
			continue // what a link leads to is there by itself
		}
		inner := s.memberOf(m, header.Name)
		inner.size, inner.modTime = header.Size, header.ModTime
		if err := s.read(inner, &layer{from: files, path: m.path, at: body.offset}); err != nil {
			return s.ownLayer(m, within(err, inner.path))
		}
	}
}

// blocks remembers the end of what was read: an empty block is the end of a tar,
// and without it the tar is cut off, be it between two members.
type blocks struct {
	from io.Reader
	tail [tarBlock]byte
	size int64
}

func (b *blocks) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.size += int64(n)
	if n >= tarBlock {
		copy(b.tail[:], p[n-tarBlock:n])
	} else {
		copy(b.tail[:], b.tail[n:])
		copy(b.tail[tarBlock-n:], p[:n])
	}
	return n, err
}

func (b *blocks) atEnd() bool { return b.size%tarBlock == 0 && b.tail == [tarBlock]byte{} }

func withoutEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// skipToHeader drops blocks until one is the header of a member.
func skipToHeader(body *bufio.Reader) error {
	for {
		block, err := body.Peek(tarBlock)
		if err != nil {
			return err
		}
		if isTarHeader(block) && bytes.HasPrefix(block[257:], []byte("ustar")) {
			return nil
		}
		if _, err := body.Discard(tarBlock); err != nil {
			return err
		}
	}
}

// memberOf is a file in an archive. An archive that is inside of something has
// its own name in the folders of its mails, as a mailbox there would.
func (s *stream) memberOf(m member, name string) member {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	dir, file := path.Split(clean)
	inner := member{path: m.path + "/" + clean, name: file, size: -1, depth: m.depth + 1}
	inner.dir = path.Join(m.dir, dir)
	if !m.named {
		inner.dir = path.Join(m.dir, stem(m.name), dir)
	}
	return inner
}
