package mmdf

import (
	"bytes"
	"io"

	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// Open opens an MMDF file, whose folder is INBOX, or a directory of such files.
// Nothing is touched before it is asked for.
func Open(path string, o Options) (poller.Source, error) {
	return mailfile.Open(path, func(_ string, o Options) mailfile.Form { return form{o} }, o)
}

// form is MMDF as a mailfile.Form.
type form struct{ o Options }

func (form) Name() string            { return "MMDF" }
func (form) Sniff(first []byte) bool { return Sniff(first) }

func (f form) NewReader(r io.Reader) mailfile.Reader          { return NewReader(r, f.o) }
func (f form) NewPiece(r io.Reader, _ []byte) mailfile.Reader { return NewReader(r, f.o) }

func (form) Appended(b []byte) bool { return lineLength(b) > 0 }

// Seen skips the lines above the mail.
func (f form) Seen(head []byte) *mailfile.Edit {
	r := NewReader(bytes.NewReader(head), f.o)
	if _, err := r.Next(); err != nil {
		return nil
	}
	start := r.win.Offset()
	edit := mailfile.MarkSeen(head[start:])
	if edit != nil {
		edit.Start += start
		edit.End += start
	}
	return edit
}

func (f form) Join(tail, _ []byte) (less int, more []byte) { return 0, f.Finish(tail) }

// Finish makes the last line of Control-As, which may be missing.
func (form) Finish(tail []byte) []byte {
	line := []byte("\x01\x01\x01\x01\n")
	switch trimmed := bytes.TrimRight(tail, "\r\n"); {
	case len(tail) == 0, bytes.HasSuffix(trimmed, mark[1:]) && len(trimmed) < len(tail):
		return nil
	case bytes.HasSuffix(tail, mark[1:]):
		return []byte("\n")
	case bytes.HasSuffix(tail, []byte("\n")):
		return line
	}
	return append([]byte("\n"), line...)
}
