package babyl

import (
	"bytes"
	"io"
	"strings"

	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// Open opens a Babyl file, whose folder is INBOX, or a directory of such files.
// Nothing is touched before it is asked for.
func Open(path string, o Options) (poller.Source, error) {
	return mailfile.Open(path, func(_ string, o Options) mailfile.Form { return form{o} }, o)
}

// form is Babyl as a mailfile.Form.
type form struct{ o Options }

func (form) Name() string            { return "Babyl" }
func (form) Sniff(first []byte) bool { return Sniff(first) }

func (f form) NewReader(r io.Reader) mailfile.Reader { return NewReader(r, f.o) }

func (f form) NewPiece(r io.Reader, first []byte) mailfile.Reader {
	piece := NewReader(r, f.o)
	piece.began, piece.python = true, isPython(first)
	return piece
}

// Appended: a mail shares its Control-_ with the one before.
func (form) Appended([]byte) bool { return false }

// Seen takes the label "unseen" away.
func (form) Seen(head []byte) *mailfile.Edit {
	start := len(head) - len(afterFormFeed(head))
	labels := string(line(head[start:]))
	for _, unseen := range []string{" unseen,", "unseen,"} {
		if at := strings.Index(labels, unseen); at >= 0 {
			return &mailfile.Edit{Start: int64(start + at), End: int64(start + at + len(unseen))}
		}
	}
	return nil
}

// Join makes the options of a new file those of the file that the mail is from.
func (form) Join(tail, first []byte) (less int, more []byte) {
	if len(tail) == 0 {
		options, _, _ := bytes.Cut(first, mark)
		return 0, append(bytes.Clone(options), mark...)
	}
	end := bytes.TrimRight(tail, "\r\n")
	if bytes.HasSuffix(end, mark) {
		return len(tail) - len(end), nil
	}
	return 0, finish(tail)
}

func (form) Finish(tail []byte) []byte {
	if bytes.HasSuffix(tail, mark) {
		return nil
	}
	return finish(tail)
}

func finish(tail []byte) []byte {
	if bytes.HasSuffix(tail, []byte("\n")) {
		return mark[1:]
	}
	return mark
}
