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
		if open := strings.IndexByte(value, '('); open >= 0 { // "15:04:05 (CEST)"
			comment, _, _ := strings.Cut(value[open+1:], ")")
			if offset, ok := zoneOffset(strings.TrimSpace(comment)); ok {
				d.zone, d.offset = zoneKnown, offset
			}
		}
	}
	return d.time()
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
	zone                 zoneState
	numeric              bool // the zone was given as a number
	offset               int  // seconds east of UTC
}

// complete says that nothing but a zone can be missing.
func (d *dateReader) complete() bool { return d.day != 0 && d.month != 0 && d.hasYear && d.hasTime }

// part reads the next word or number. It reports false for what cannot be in
// a date.
func (d *dateReader) part() bool {
	c := d.s[d.pos]
	switch {
	case isDigit(c):
		return d.number()
	case isLetter(c) || c >= 0x80:
		return d.word()
	case (c == '+' || c == '-') && d.hasTime && d.pos+1 < len(d.s) && isDigit(d.s[d.pos+1]):
		d.numericZone()
		return true
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
// digit.
func (d *dateReader) follows(separator byte) bool {
	if d.pos+1 < len(d.s) && d.s[d.pos] == separator && isDigit(d.s[d.pos+1]) {
		d.pos++
		return true
	}
	return false
}

func (d *dateReader) number() bool {
	n, length := d.digits()
	if n < 0 {
		return false
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
	if offset, ok := zoneOffset(word); ok {
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
	d.pos++
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
	if d.day == 0 || d.month == 0 || !d.hasYear {
		return time.Time{}, DefectDateNotUnderstood
	}
	if d.year < 1 || d.year > 9999 {
		return time.Time{}, DefectDateOutOfRange
	}
	switch {
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

// monthNumber knows month names and their abbreviations of three letters or
// more, in any case; 0 if word is none.
func monthNumber(word string) int {
	for m := time.January; m <= time.December; m++ {
		if isAbbreviation(word, m.String()) {
			return int(m)
		}
	}
	return 0
}

func isWeekday(word string) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if isAbbreviation(word, d.String()) {
			return true
		}
	}
	return false
}

func isAbbreviation(word, name string) bool {
	return len(word) >= 3 && len(word) <= len(name) && strings.EqualFold(word, name[:len(word)])
}

// zoneOffset knows the zones of RFC 5322 4.3 and other names with one common
// meaning, in seconds east of UTC. Single letters are not among them: RFC 822
// defined them with the wrong sign, so nobody can say what a sender means.
func zoneOffset(name string) (int, bool) {
	const hour = 3600
	switch strings.ToUpper(name) {
	case "UT", "UTC", "GMT", "Z", "WET":
		return 0, true
	case "EDT":
		return -4 * hour, true
	case "EST", "CDT":
		return -5 * hour, true
	case "CST", "MDT":
		return -6 * hour, true
	case "MST", "PDT":
		return -7 * hour, true
	case "PST", "AKDT":
		return -8 * hour, true
	case "AKST":
		return -9 * hour, true
	case "HST":
		return -10 * hour, true
	case "BST", "WEST", "CET", "MET", "MEZ":
		return 1 * hour, true
	case "CEST", "MEST", "MESZ", "METDST", "EET", "SAST":
		return 2 * hour, true
	case "EEST", "MSK":
		return 3 * hour, true
	case "MSD":
		return 4 * hour, true
	case "SGT", "HKT":
		return 8 * hour, true
	case "JST", "KST":
		return 9 * hour, true
	case "AEST":
		return 10 * hour, true
	case "AEDT":
		return 11 * hour, true
	case "NZST":
		return 12 * hour, true
	case "NZDT":
		return 13 * hour, true
	}
	return 0, false
}
