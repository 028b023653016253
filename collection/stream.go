package collection

import (
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"mailrow/message"
)

// stream reads what comes one byte after the other: a file that is not a plain
// mailbox, and what is inside of it.
type stream struct {
	reader *Reader
	ctx    context.Context
	unit   *Unit // nil for what comes from nowhere on disk
	past   Past
	id     string // of the one mail that a file is; "" where its content names it
}

// member is where in a stream we are.
type member struct {
	path    string // for people
	dir     string // of its folder in the archive, as it is there; "" at the top
	name    string // of the file, "" where there is none
	modTime time.Time
	size    int64 // -1 where nobody knows
	depth   int
	named   bool // somebody named it: it should be mail
}

// visitorError is an error of the visitor, which ends all reading.
type visitorError struct{ err error }

func (e *visitorError) Error() string { return e.err.Error() }
func (e *visitorError) Unwrap() error { return e.err }

// settle tells the reason of a layer, and gives back only what ends all reading.
func (s *stream) settle(err error) error {
	var ended *visitorError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended):
		return ended.err
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	}
	var of *layerError
	if !errors.As(err, &of) {
		return err
	}
	s.reader.visitor.Failed(s.unit, of.path, of.reason())
	return nil
}

// readAll reads a stream to its end, and tells what went wrong with it.
func (s *stream) readAll(m member, from io.Reader) error {
	return s.settle(s.read(m, &layer{from: from, path: m.path}))
}

// read reads a member by what its content says. Its error is of a layer or of
// the visitor.
func (s *stream) read(m member, from io.Reader) error {
	if err := s.ctx.Err(); err != nil {
		return &visitorError{err}
	}
	body := newBody(from)
	head, err := body.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return err
	}
	kind := sniff(head)
	if isUnfinished(m) {
		s.reader.visitor.Skipped(m.path)
		return nil
	}
	if m.depth >= maxDepth && kind.contains() {
		return s.failed(m, fmt.Errorf("it is inside of %d archives: unpack it first", maxDepth))
	}
	switch kind {
	case KindGzip, KindBzip2, KindZstd:
		return s.readCompressed(m, kind, body)
	case KindTar:
		return s.readTar(m, body)
	case KindZip:
		return s.readZip(m, body)
	case KindMbox, KindMMDF, KindBabyl:
		if inMaildir(m) {
			return s.readMail(m, body)
		}
		return s.readMailbox(m, kind, body)
	case KindEmlx:
		return s.readEmlx(m, body)
	case KindMail:
		return s.readMail(m, body)
	}
	return s.readUnknown(m, head, body)
}

// readUnknown takes for mail what its place says is mail: no MUA and no MTA
// refuses one without any field.
func (s *stream) readUnknown(m member, head []byte, body io.Reader) error {
	switch {
	case len(head) == 0 && (isMailPlace(m) || m.named):
		return s.failed(m, errEmpty)
	case isMailPlace(m), m.named && mailFields(head) > 0:
		return s.readMail(m, body)
	}
	if what := sniffForeign(head); what != "" {
		return s.failed(m, errors.New(what))
	}
	if m.named {
		return s.failed(m, errNotMail)
	}
	s.reader.visitor.Skipped(m.path)
	return nil
}

var (
	errEmpty   = errors.New("it is empty")
	errNotMail = errors.New("it is neither mail nor a mailbox nor an archive of a known form")
)

// failed tells of trouble with one thing.
func (s *stream) failed(m member, err error) error {
	s.reader.visitor.Failed(s.unit, m.path, plainReason(err))
	return nil
}

// isMailPlace says whether a file is mail by where it is, or by its name.
func isMailPlace(m member) bool {
	return inMaildir(m) && isMaildirName(m.name) || isMailName(m.name)
}

func isMailName(name string) bool { return strings.EqualFold(path.Ext(name), ".eml") }

// readMail reads a single mail.
func (s *stream) readMail(m member, body io.Reader) error {
	raw, err := s.reader.readLimited(s.ctx, body, m.size)
	if errors.Is(err, errTooLarge) {
		return s.failed(m, err)
	}
	if err != nil {
		return err
	}
	mail := &Mail{Path: m.path, ModTime: m.modTime, Folder: s.reader.folder(m.dir, "")}
	mail.Raw, mail.Sender = message.SplitFromLine(raw)
	if inMaildir(m) {
		mail.Flags = maildirFlags(m.name)
		mail.ReceivedAt = m.modTime
	}
	return s.give(mail)
}

// give hands a mail on, unless it is settled. In an archive its content and
// folder name it; of a mail in a mailbox, the content without status fields.
func (s *stream) give(m *Mail) error {
	m.ID, m.Unit = s.id, s.unit
	if m.ID == "" {
		sum := sha256.New()
		fmt.Fprintf(sum, "%s\x00%s", m.Folder, m.Identity)
		if m.Identity == "" {
			sum.Write(m.Raw)
		}
		m.ID = hex.EncodeToString(sum.Sum(nil))
	}
	if s.past.Has != nil && s.past.Has(m.ID) {
		s.reader.visitor.Known(s.unit, int64(len(m.Raw)))
		return nil
	}
	if err := s.reader.visitor.Mail(s.ctx, m); err != nil {
		return &visitorError{err}
	}
	return nil
}

// readCompressed reads what is inside of a compressed file. Its name is that of
// the file without the suffix.
func (s *stream) readCompressed(m member, kind Kind, body *body) error {
	in := &layer{path: m.path, at: body.offset}
	switch kind {
	case KindGzip:
		unpacked, err := newGunzip(body.Reader)
		if err != nil {
			return s.ownLayer(m, in.own(err))
		}
		in.from = unpacked
	case KindBzip2:
		in.from = bzip2.NewReader(body)
	case KindZstd:
		unpacked, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return s.ownLayer(m, in.own(err))
		}
		defer unpacked.Close()
		in.from = unpacked
	}
	inner := m
	inner.name = withoutSuffix(m.name)
	inner.size = -1
	inner.depth++
	return s.ownLayer(m, s.read(inner, in))
}

// maxWindow is what zstd itself unpacks without being told to take more memory.
const maxWindow = 128 << 20

// ownLayer tells the reason when it is that of this layer, and passes others on.
func (s *stream) ownLayer(m member, err error) error {
	var of *layerError
	if errors.As(err, &of) && of.path == m.path {
		return s.settle(err)
	}
	return err
}

// withoutSuffix takes off what a compressor adds to a name.
func withoutSuffix(name string) string {
	switch ext := path.Ext(name); strings.ToLower(ext) {
	case ".gz", ".bz2", ".zst", ".z":
		return strings.TrimSuffix(name, ext)
	case ".tgz", ".tbz", ".tbz2", ".tzst":
		return strings.TrimSuffix(name, ext) + ".tar"
	}
	return name
}
