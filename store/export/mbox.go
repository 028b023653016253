package export

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailrow/internal/newfile"
	"mailrow/store/archive"
)

// mbox is one file in the form mboxrd. Each mail is
//
//	From sender date LF   the date in UTC, as asctime(3) writes it
//	the mail              with one more ">" before each line that is >*From
//	LF
//
// A line begins with the mail and after each LF. The last LF is added whatever
// the mail ends with: a reader that drops one LF before the next "From ", or
// before the end of the file, and one ">" of each line that is >+From, has
// exactly the bytes of the mail.
type mbox struct {
	out  *bufio.Writer
	name string
	file *newfile.File // nil for a stream
	end  int64         // of the last whole mail
	over bool

	quoted bool
}

// Quoted reports whether lines in the mails are quoted: whoever reads the file has
// to know that it is in the form mboxrd.
func (b *mbox) Quoted() bool { return b.quoted }

// NewMbox makes a file that gets its name with Close. What has the name is
// overwritten, or else an error.
func NewMbox(name string, overwrite bool) (Target, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, fmt.Errorf("export to %s: it is a folder: name a file in it", name)
	}
	if _, err := os.Lstat(name); err == nil && !overwrite {
		return nil, fmt.Errorf("export to %s: %w: remove it, or use --overwrite", name, fs.ErrExist)
	}
	file, err := newfile.Create(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", name, err)
	}
	return &mbox{out: bufio.NewWriterSize(file, 1<<20), name: name, file: file, over: overwrite}, nil
}

// NewStream writes an mbox as it goes.
func NewStream(w io.Writer) Target {
	return &mbox{out: bufio.NewWriterSize(w, 1<<20), name: "standard output"}
}

func (b *mbox) Has(archive.Mail) (bool, error) { return false, nil }

func (b *mbox) Add(m archive.Mail, write func(io.Writer) error) error {
	counting := &counting{w: b.out}
	err := b.add(m, counting, write)
	if err == nil {
		b.end += counting.n
		return nil
	}
	if counting.n == 0 {
		return err
	}
	if b.file == nil {
		return &TornError{err}
	}
	if back := b.back(); back != nil {
		return &TornError{fmt.Errorf("%w, and %w", err, back)}
	}
	return err
}

// back removes what there is of the mail that failed.
func (b *mbox) back() error {
	if err := b.out.Flush(); err != nil {
		return err
	}
	if err := b.file.Truncate(b.end); err != nil {
		return err
	}
	_, err := b.file.Seek(b.end, io.SeekStart)
	return err
}

func (b *mbox) add(m archive.Mail, w io.Writer, write func(io.Writer) error) error {
	started := false
	q := quoter{w: w, atStart: true}
	err := write(writerFunc(func(p []byte) (int, error) {
		if !started {
			started = true
			if _, err := io.WriteString(w, fromLine(m)); err != nil {
				return 0, err
			}
		}
		return q.Write(p)
	}))
	if err != nil {
		return err
	}
	if !started { // an empty mail
		if _, err := io.WriteString(w, fromLine(m)); err != nil {
			return err
		}
	}
	if err := q.end(); err != nil {
		return err
	}
	b.quoted = b.quoted || q.quoted
	_, err = w.Write([]byte{'\n'})
	return err
}

// fromLine begins a mail in an mbox. A reverse-path may have blanks in quotes,
// which no reader of mbox expects.
func fromLine(m archive.Mail) string {
	sender := "MAILER-DAEMON"
	if m.Sender != nil && *m.Sender != "" {
		sender = strings.Map(func(r rune) rune {
			if r <= ' ' || r == 0x7f {
				return '_'
			}
			return r
		}, *m.Sender)
	}
	return "From " + sender + " " + m.ReceivedAt.UTC().Format(time.ANSIC) + "\n"
}

func (b *mbox) Close() error {
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", b.name, err)
	}
	if b.file == nil {
		return nil
	}
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", b.name, err)
	}
	if err := b.file.Rename(b.name, b.over); err != nil {
		return fmt.Errorf("name %s: %w", b.name, err)
	}
	if err := newfile.Sync(filepath.Dir(b.name)); err != nil {
		return fmt.Errorf("write folder of %s: %w", b.name, err)
	}
	return nil
}

func (b *mbox) Discard() {
	if b.file != nil {
		b.file.Discard()
	}
}

func (b *mbox) Unfinished(n Count) string {
	if b.file == nil {
		return fmt.Sprintf("the output ends after %d mails, or amid the next", n.Mails)
	}
	return b.name + " was not written: start again"
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

var from = []byte("From ")

// quoter puts one ">" before "From " in each line that is >*From . Of the ">"
// one is as good as another, so they are written as they come.
type quoter struct {
	w       io.Writer
	atStart bool // of a line, or after ">" there
	matched int  // bytes of "From " that were read there and not written
	quoted  bool // some line is
}

func (q *quoter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if !q.atStart {
			end := bytes.IndexByte(p, '\n') + 1
			q.atStart = end > 0
			if end == 0 {
				end = len(p)
			}
			if _, err := q.w.Write(p[:end]); err != nil {
				return 0, err
			}
			p = p[end:]
			continue
		}
		switch c := p[0]; {
		case c == from[q.matched]:
			q.matched++
			p = p[1:]
			if q.matched == len(from) {
				q.atStart, q.matched, q.quoted = false, 0, true
				if _, err := q.w.Write([]byte(">From ")); err != nil {
					return 0, err
				}
			}
		case q.matched > 0:
			if err := q.end(); err != nil {
				return 0, err
			}
		case c == '>':
			if _, err := q.w.Write(p[:1]); err != nil {
				return 0, err
			}
			p = p[1:]
		default:
			q.atStart = false
		}
	}
	return n, nil
}

// end writes what looked like the begin of "From ".
func (q *quoter) end() error {
	_, err := q.w.Write(from[:q.matched])
	q.atStart, q.matched = false, 0
	return err
}
