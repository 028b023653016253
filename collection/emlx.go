package collection

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"time"
)

// Apple Mail keeps a mail as a line with its size, its bytes, and a property
// list with what is known of it.

// isEmlx tells such a file by its first line and by the mail below it.
func isEmlx(head []byte) bool {
	size, rest := emlxSize(head)
	return size > 0 && mailFields(rest) > 0
}

func emlxSize(head []byte) (size int64, rest []byte) {
	line, rest, found := bytes.Cut(head, []byte{'\n'})
	if !found || len(line) > 20 {
		return 0, nil
	}
	size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0, nil
	}
	return size, rest
}

func (s *stream) readEmlx(m member, body io.Reader) error {
	whole, err := s.reader.readLimited(s.ctx, body, -1)
	if errors.Is(err, errTooLarge) {
		return s.failed(m, err)
	}
	if err != nil {
		return err
	}
	size, rest := emlxSize(whole)
	if size > int64(len(rest)) {
		return s.failed(m, errors.New("it is cut off: copy it anew"))
	}
	mail := &Mail{Path: m.path, Raw: rest[:size:size], ModTime: m.modTime, Folder: s.reader.folder(appleFolder(m.dir), "")}
	readList(mail, rest[size:])
	return s.give(mail)
}

var (
	listFlags    = regexp.MustCompile(`<key>flags</key>\s*<integer>(\d+)</integer>`)
	listReceived = regexp.MustCompile(`<key>date-received</key>\s*<(?:integer|real)>(\d+)`)
	appleInside  = regexp.MustCompile(`(\.i?mbox|\.imapmbox)(/[0-9A-F-]{36})?(/Data)?(/[0-9])*/Messages$`)
)

// readList reads the flags and the time of arrival.
func readList(m *Mail, list []byte) {
	if found := listFlags.FindSubmatch(list); found != nil {
		if bits, err := strconv.ParseUint(string(found[1]), 10, 64); err == nil {
			m.Flags = appleFlags(bits)
		}
	}
	if found := listReceived.FindSubmatch(list); found != nil {
		if at, err := strconv.ParseInt(string(found[1]), 10, 64); err == nil && at > 0 {
			m.ReceivedAt = time.Unix(at, 0)
		}
	}
}

func appleFlags(bits uint64) (flags []string) {
	for _, f := range []struct {
		bit  int
		flag string
	}{{0, `\Seen`}, {1, `\Deleted`}, {2, `\Answered`}, {4, `\Flagged`}, {6, `\Draft`}, {8, `$Forwarded`}} {
		if bits>>f.bit&1 != 0 {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// appleFolder leaves out what is between the folder of a mailbox and its mails.
func appleFolder(dir string) string {
	return appleInside.ReplaceAllString(dir, "$1")
}
