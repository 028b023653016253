package mailfile

import (
	"bytes"
	"strconv"
	"strings"

	"mailrow/message"
	"mailrow/poller/identity"
)

// MarkSeen is the change to a mail, of which head is the begin, that marks it as
// seen: an R in its Status, its bit in X-Mozilla-Status, or a Status of its own.
// It is nil where the mail is seen, or has no header.
func MarkSeen(head []byte) *Edit {
	end := identity.HeaderEnd(head)
	if end < 0 || end > 0 && !message.BeginsWithField(head) {
		return nil
	}
	status, mozilla := noField, noField
	for at := 0; at < end; {
		field, note := identity.CutField(head[at:end])
		name, _, _ := bytes.Cut(field, []byte{':'})
		switch {
		case note && bytes.EqualFold(name, []byte("Status")):
			status = valueOf(field, at)
		case note && bytes.EqualFold(name, []byte("X-Mozilla-Status")):
			mozilla = valueOf(field, at)
		}
		at += len(field)
	}
	switch {
	case status != noField:
		value := string(head[status.Start:status.End])
		if strings.Contains(value, "R") {
			return nil
		}
		status.text = "R" + value
		return status.edit()
	case mozilla != noField:
		bits, err := strconv.ParseUint(string(head[mozilla.Start:mozilla.End]), 16, 16)
		if err != nil || bits&1 != 0 {
			return nil
		}
		mozilla.text = strings.ToLower(leadingZeros(strconv.FormatUint(bits|1, 16)))
		return mozilla.edit()
	}
	lineEnd := "\n"
	if bytes.HasPrefix(head[end:], []byte("\r\n")) {
		lineEnd = "\r\n"
	}
	return &Edit{int64(end), int64(end), []byte("Status: RO" + lineEnd)}
}

// value is that of a field, without the blanks around it.
type value struct {
	Start, End int
	text       string // to put in its place
}

var noField = value{Start: -1}

func (v value) edit() *Edit { return &Edit{int64(v.Start), int64(v.End), []byte(v.text)} }

func valueOf(field []byte, at int) value {
	colon := bytes.IndexByte(field, ':') + 1
	body := field[colon:]
	text := bytes.TrimSpace(body)
	start := at + colon + bytes.Index(body, text)
	if len(text) == 0 {
		start = at + colon
	}
	return value{Start: start, End: start + len(text)}
}

func leadingZeros(hex string) string { return strings.Repeat("0", max(0, 4-len(hex))) + hex }
