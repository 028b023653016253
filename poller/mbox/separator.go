package mbox

import (
	"bytes"
	"encoding/hex"
	"strings"

	"mailrow/message"
)

// lookAhead holds a From_ line and the name of the field after it.
const lookAhead = 2 << 10

var (
	separator = []byte("\nFrom ")
	quoted    = []byte(">From ")
)

// tail is how much at the end of content is not the mail's but the mbox's.
func (r *Reader) tail(content []byte) int {
	end := r.win.Offset() + int64(len(content))
	switch {
	case r.rd && strings.HasSuffix(r.from.text, "\r\n") && bytes.HasSuffix(content, []byte("\r\n")):
		return 2
	case r.rd && bytes.HasSuffix(content, []byte("\n")):
		return 1
	case r.rd || r.believed == end:
		return 0
	case r.believed == end-1 && bytes.HasSuffix(content, []byte("\n")):
		return 1
	}
	return r.blankEnd(content)
}

// blankEnd is the length of an empty line at the end of content.
func (r *Reader) blankEnd(content []byte) int {
	for _, blank := range []string{"\r\n", "\n"} {
		before, found := bytes.CutSuffix(content, []byte(blank))
		if found && (len(before) == 0 && r.scan.Start || len(before) > 0 && before[len(before)-1] == '\n') {
			return len(blank)
		}
	}
	return 0
}

// separates reports whether the line that begins at bytes ahead begins a mail.
func (r *Reader) separates(at int) bool {
	if r.alone || at == 0 {
		return false
	}
	ahead := r.win.Ahead(at + lookAhead)
	found := r.begins(ahead[at:], r.blankEnd(ahead[:at]) > 0)
	offset := r.win.Offset() + int64(at)
	if found.kind == none || offset < r.believed && r.proves() {
		return false
	}
	r.next, r.nextAt = found, offset
	return true
}

// begins reads the From_ line that b begins with. Its kind is none unless it is
// believed there: after an empty line, or not.
func (r *Reader) begins(b []byte, blank bool) fromLine {
	line := firstLine(b)
	f, ok := message.ParseFromLine(line)
	if !ok {
		return fromLine{}
	}
	found := fromLine{FromLine: f, text: string(line)}
	field := message.BeginsWithField(b[len(line):]) || bytes.HasPrefix(b[len(line):], quoted)
	switch {
	case isPatch(line):
		if blank && field && (!r.began || r.from.kind == patch) {
			found.kind = patch
		}
	case f.Dated:
		if blank || field || r.rd {
			found.kind = dated
		}
	case field && (blank && (!r.began || r.from.kind == bare) || r.from.text == found.text):
		found.kind = bare
	}
	return found
}

// isPatch knows the first line of git format-patch, whose date never changes.
// Patches are attached to mails as they are.
func isPatch(line []byte) bool {
	rest, found := bytes.CutSuffix(bytes.TrimRight(line, "\r\n"), []byte(" Mon Sep 17 00:00:00 2001"))
	name := bytes.TrimPrefix(rest, []byte("From "))
	_, err := hex.DecodeString(string(name))
	return found && err == nil && len(name) >= 40
}

// proves reports whether Content-Length leads to a From_ line or to the end of
// the file.
func (r *Reader) proves() bool {
	if r.verdict == untried {
		r.verdict = wrong
		if r.leadsToEnd() {
			r.verdict = right
		}
	}
	return r.verdict == right
}

func (r *Reader) leadsToEnd() bool {
	there, ok := r.win.Look(r.believed-1, lookAhead)
	if !ok || len(there) == 0 {
		return false
	}
	atStart := there[0] == '\n'
	there = there[1:]
	blank := emptyLine(there)
	if len(there) == blank {
		return true
	}
	return (atStart || blank > 0) && r.begins(there[blank:], true).kind != none
}

// emptyLine is the length of the empty line that b begins with.
func emptyLine(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\n")):
		return 1
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	}
	return 0
}

// firstLine is the line that b begins with, and its end.
func firstLine(b []byte) []byte {
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return b[:end+1]
	}
	return b
}

// plan looks in what is safe for the next ">" that mboxrd has added. One of a row
// is as good as another: it is the last one.
func (r *Reader) plan() {
	ahead := r.win.Ahead(0)
	safe := r.scan.Safe
	text := ahead[:min(len(ahead), safe+len(quoted)-1)]
	hit := bytes.Index(text, quoted)
	if hit < 0 || hit >= safe {
		r.plain = safe
		r.quoting = r.quotesOnly(text[:safe])
		return
	}
	r.drop = r.quotesOnly(text[:hit])
	r.plain = hit
	if !r.drop {
		r.plain++
	}
	r.quoting = false
}

// quotesOnly reports whether text ends in a line that has only ">".
func (r *Reader) quotesOnly(text []byte) bool {
	line := bytes.TrimRight(text, ">")
	return len(line) == 0 && r.quoting || len(line) > 0 && line[len(line)-1] == '\n'
}
