package mbox

import (
	"bytes"
	"io"
	"strings"

	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// Open opens an mbox file, whose folder is INBOX, or a directory of such files.
// Nothing is touched before it is asked for.
func Open(path string, o Options) (poller.Source, error) {
	return mailfile.Open(path, func(path string, file mailfile.Options) mailfile.Form {
		o := Options{o.Dialect, file}
		if o.Dialect == Auto && strings.HasSuffix(path, ".mboxrd") {
			o.Dialect = RD
		}
		return form{o}
	}, o.Options)
}

// form is mbox as a mailfile.Form.
type form struct{ o Options }

func (form) Name() string            { return "mbox" }
func (form) Sniff(first []byte) bool { return Sniff(first) }

func (f form) NewReader(r io.Reader) mailfile.Reader { return NewReader(r, f.o) }

func (f form) NewPiece(r io.Reader, _ []byte) mailfile.Reader {
	piece := NewReader(r, f.o)
	piece.alone = true
	return piece
}

func (f form) Appended(b []byte) bool {
	return (&Reader{o: f.o}).begins(b, false).kind == dated
}

// Seen skips the From_ line.
func (form) Seen(head []byte) *mailfile.Edit {
	line := len(firstLine(head))
	edit := mailfile.MarkSeen(head[line:])
	if edit != nil {
		edit.Start += int64(line)
		edit.End += int64(line)
	}
	return edit
}

// Join makes an empty line, which may be missing at the end of a file.
func (f form) Join(tail, _ []byte) (less int, more []byte) { return 0, f.Finish(tail) }

func (f form) Finish(tail []byte) []byte {
	if f.o.Dialect == RD && bytes.HasSuffix(tail, []byte("\n")) { // that is the mbox's
		return nil
	}
	lineEnd := []byte("\n")
	if bytes.HasSuffix(tail, []byte("\r\n")) {
		lineEnd = []byte("\r\n")
	}
	switch {
	case len(tail) == 0, bytes.HasSuffix(tail, []byte("\n\n")), bytes.HasSuffix(tail, []byte("\n\r\n")):
		return nil
	case bytes.HasSuffix(tail, []byte("\n")):
		return lineEnd
	}
	return []byte("\n\n")
}
