package message

import (
	"strings"
	"time"
)

// maxDate is how much of a Date field is looked at, in bytes without comments.
const maxDate = 200

// parseDate reads the date forms of RFC 5322 and RFC 850, of ctime and ISO
// 8601, and what else mailers wrote in 40 years. The parts are recognised by
// what they look like rather than by where they stand. The time is zero when
// the defect says why there is none.
func parseDate(value string) (time.Time, Defect) {
	d := dateReader{s: withoutComments(value), zone: zoneMissing}
	if len(d.s) > maxDate {
		d.s = d.s[:maxDate]
	}
	for d.pos < len(d.s) {
		if !d.part() && !d.complete() { // garbage at the end does no harm
			return time.Time{}, DefectDateNotUnderstood
		}
	}
	if d.zone == zoneMissing {
		d.zoneInComment(value)
	}
	return d.time()
}

// zoneInComment reads "15:04:05 (CEST)" and "15:04:05 (GMT+01:00)".
func (d *dateReader) zoneInComment(value string) {
	open := strings.IndexByte(value, '(')
	if open < 0 {
		return
	}
	comment, _, _ := strings.Cut(value[open+1:], ")")
	c := dateReader{s: strings.TrimSpace(comment), hasTime: true}
	for c.pos < len(c.s) {
		if !c.part() || c.zone == zoneNamed {
			return
		}
	}
	if c.zone == zoneKnown {
		d.zone, d.offset = c.zone, c.offset
	}
}

// zoneState is what is known about the offset from UTC.
type zoneState uint8

const (
	zoneMissing zoneState = iota
	zoneNamed             // by letters that mean nothing certain
	zoneImpossible
	zoneKnown
)

type dateReader struct {
	s   string
	pos int

	year, month, day     int
	hasYear, hasTime     bool
	hour, minute, second int
	nanosecond           int
	pm, am               bool
	bare                 bool // hhmm: without a zone behind it, it may be anything
	zone                 zoneState
	numeric              bool // the zone was given as a number
	offset               int  // seconds east of UTC
}

// complete says that nothing but a zone can be missing.
func (d *dateReader) complete() bool {
	return !d.bare && d.day != 0 && d.month != 0 && d.hasYear && d.hasTime
}

// part reads the next word or number. It reports false for what cannot be in
// a date.
func (d *dateReader) part() bool {
	c := d.s[d.pos]
	switch {
	case isDigit(c):
		return d.number()
	case isLetter(c) || c >= 0x80:
		return d.word()
	case (c == '+' || c == '-') && d.hasTime && d.pos+1 < len(d.s):
		next := d.s[d.pos+1:]
		if isDigit(next[0]) || d.hasYear && len(next) >= 5 && next[0] == ' ' && isDigit(next[1]) && isDigit(next[4]) { // "+ 0100"
			d.numericZone()
			return true
		}
	}
	d.pos++
	return true
}

// digits returns the run of digits at pos and moves past it. Numbers of more
// than nine digits come back as -1.
func (d *dateReader) digits() (n, length int) {
	start := d.pos
	for d.pos < len(d.s) && isDigit(d.s[d.pos]) {
		if d.pos-start < 9 {
			n = n*10 + int(d.s[d.pos]-'0')
		}
		d.pos++
	}
	length = d.pos - start
	if length > 9 {
		n = -1
	}
	return n, length
}

// follows reports whether separator and a digit come next, and moves to that
// digit. Blanks may be around a colon (RFC 5322 4.3).
func (d *dateReader) follows(separator byte) bool {
	rest := d.s[d.pos:]
	if separator == ':' {
		rest = strings.TrimLeft(rest, " ")
	}
	rest, found := strings.CutPrefix(rest, string(separator))
	if separator == ':' {
		rest = strings.TrimLeft(rest, " ")
	}
	if !found || rest == "" || !isDigit(rest[0]) {
		return false
	}
	d.pos = len(d.s) - len(rest)
	return true
}

func (d *dateReader) number() bool {
	n, length := d.digits()
	if n < 0 {
		return length == 14 && d.stamp(d.s[d.pos-length:d.pos])
	}
	switch {
	case d.follows(':'):
		return d.clock(n, ':')
	case d.month != 0 && d.day != 0 && !d.hasTime && length <= 2 && d.follows('.'):
		return d.clock(n, '.')
	case d.month == 0 && length <= 4:
		for _, separator := range []byte("-/.") {
			if d.follows(separator) {
				return d.numericDate(n, length, separator)
			}
		}
	}
	return d.loneNumber(n, length)
}

// stamp reads 20060102150405.
func (d *dateReader) stamp(digits string) bool {
	if d.day != 0 || d.hasYear || d.hasTime {
		return false
	}
	at := dateReader{s: digits[:8] + " " + digits[8:]}
	for at.pos < len(at.s) {
		if !at.part() {
			return false
		}
	}
	at.s, at.pos, at.zone = d.s, d.pos, d.zone
	*d = at
	return true
}

// clock reads the rest of a time of day after its hour.
func (d *dateReader) clock(hour int, separator byte) bool {
	if d.hasTime {
		return false
	}
	d.hasTime = true
	d.hour = hour
	d.minute, _ = d.digits()
	if d.follows(separator) {
		d.second, _ = d.digits()
		if d.follows('.') || d.follows(',') {
			d.fraction()
		}
	}
	return true
}

func (d *dateReader) fraction() {
	unit := 100_000_000
	for d.pos < len(d.s) && isDigit(d.s[d.pos]) {
		d.nanosecond += int(d.s[d.pos]-'0') * unit
		unit /= 10
		d.pos++
	}
}

// numericDate reads the rest of 2006-01-02, 02.01.2006 or 13/01/2006. Of two
// numbers that could both be the month it only decides where the separator
// does: dots are day first.
func (d *dateReader) numericDate(first, length int, separator byte) bool {
	second, _ := d.digits()
	if !d.follows(separator) {
		return false
	}
	third, thirdLength := d.digits()
	switch {
	case length >= 3 || first > 31:
		d.setYear(first, length)
		d.month, d.day = second, third
		return true
	case separator == '.' || first > 12 || first == second:
		d.day, d.month = first, second
	case second > 12:
		d.month, d.day = first, second
	default:
		return false
	}
	d.setYear(third, thirdLength)
	return true
}

// setYear applies RFC 5322 4.3 to years of two and three digits.
func (d *dateReader) setYear(n, length int) {
	d.hasYear = true
	switch {
	case length <= 2 && n < 50:
		n += 2000
	case length <= 3:
		n += 1900
	case length == 5 && n/100 == 191: // "19" before the years since 1900
		n -= 17100
	}
	d.year = n
}

// loneNumber is a day, then a year, then perhaps a zone without its sign.
func (d *dateReader) loneNumber(n, length int) bool {
	switch {
	case length == 8 && d.day == 0 && !d.hasYear: // 20060102T150405Z
		d.setYear(n/10000, 4)
		d.month, d.day = n/100%100, n%100
	case length == 6 && d.day != 0 && d.hasYear && !d.hasTime:
		d.hour, d.minute, d.second, d.hasTime = n/10000, n/100%100, n%100, true
	case length == 4 && d.day != 0 && d.month != 0 && d.hasYear && !d.hasTime: // RFC 733
		d.hour, d.minute, d.hasTime, d.bare = n/100, n%100, true, true
	case length <= 2 && d.day == 0 && n >= 1 && n <= 31:
		d.day = n
	case !d.hasYear && length >= 2:
		d.setYear(n, length)
	case length == 4 && d.hasTime && d.zone == zoneMissing: // sign forgotten
		if n == 0 {
			d.zone = zoneKnown
		}
	default:
		return false
	}
	return true
}

func (d *dateReader) word() bool {
	start := d.pos
	for d.pos < len(d.s) && (isLetter(d.s[d.pos]) || d.s[d.pos] >= 0x80) {
		d.pos++
	}
	word := d.s[start:d.pos]
	switch {
	case d.month == 0 && monthNumber(word) != 0:
		d.month = monthNumber(word)
		return true
	case isWeekday(word):
		return true
	}
	switch strings.ToLower(word) {
	case "t":
		if !d.hasTime {
			return true
		}
	case "am":
		d.am = true
		return true
	case "pm":
		d.pm = true
		return true
	case "dst": // "MET DST"
		if d.zone == zoneKnown {
			d.offset += 3600
			return true
		}
	case "at", "on", "of", "the", "de", "st", "nd", "rd", "th", "date":
		return true
	}
	if d.zone == zoneKnown { // "+0200 CEST": the number is what counts
		return true
	}
	if d.pos+1 < len(d.s) && isDigit(d.s[d.pos]) && isLetter(d.s[d.pos+1]) { // EST5EDT: which one?
		d.zone, d.pos = zoneNamed, d.pos+1
		return d.word()
	}
	if offset, ok := zoneOffset(word); ok && d.zone != zoneNamed {
		d.zone, d.offset = zoneKnown, offset
	} else if d.hasTime {
		d.zone = zoneNamed
	} else {
		return false
	}
	return true
}

// numericZone reads +hhmm and its variants +hh:mm, +hmm, +hh and +h. A number
// overrules a name before it ("GMT+0200").
func (d *dateReader) numericZone() {
	sign := 1
	if d.s[d.pos] == '-' {
		sign = -1
	}
	for d.pos++; d.s[d.pos] == ' '; d.pos++ {
	}
	n, length := d.digits()
	hours, minutes := n/100, n%100
	if length <= 2 {
		hours, minutes = n, 0
		if d.follows(':') {
			minutes, _ = d.digits()
		}
	}
	if d.numeric { // a number in the garbage after the date
		return
	}
	d.numeric = true
	if n < 0 || hours >= 24 || minutes < 0 || minutes >= 60 || length > 4 {
		d.zone, d.offset = zoneImpossible, 0
		return
	}
	d.zone, d.offset = zoneKnown, sign*(hours*3600+minutes*60)
}

func (d *dateReader) time() (time.Time, Defect) {
	if d.day == 0 || d.month == 0 || !d.hasYear || d.bare && d.zone != zoneKnown {
		return time.Time{}, DefectDateNotUnderstood
	}
	if d.year < 1 || d.year > 9999 {
		return time.Time{}, DefectDateOutOfRange
	}
	switch {
	case d.am && d.hour > 12:
		return time.Time{}, DefectDateNotUnderstood
	case d.pm && d.hour < 12:
		d.hour += 12
	case d.am && d.hour == 12:
		d.hour = 0
	}
	midnight := d.hour == 24 && d.minute == 0 && d.second == 0
	if d.month > 12 || d.hour > 23 && !midnight || !inRange(d.minute, 59) || !inRange(d.second, 60) {
		return time.Time{}, DefectDateNotUnderstood
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	if time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, zone).Day() != d.day {
		return time.Time{}, DefectDateNotUnderstood
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, d.nanosecond, zone)
	if year := t.UTC().Year(); year < 1 || year > 9999 || t.IsZero() {
		return time.Time{}, DefectDateOutOfRange
	}
	switch {
	case !d.hasTime:
		return t, DefectDateWithoutTime
	case d.zone == zoneMissing:
		return t, DefectDateWithoutZone
	case d.zone == zoneNamed:
		return t, DefectDateZoneUnknown
	case d.zone == zoneImpossible:
		return t, DefectDateZoneImpossible
	}
	return t, ""
}

func inRange(n, limit int) bool { return n >= 0 && n <= limit }
func isDigit(c byte) bool       { return '0' <= c && c <= '9' }
func isLetter(c byte) bool      { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// appendLower appends s with its letters of ASCII in lower case.
func appendLower[T string | []byte](to []byte, s T) []byte {
	for i := range len(s) {
		c := s[i]
		if isLetter(c) {
			c |= 0x20
		}
		to = append(to, c)
	}
	return to
}
