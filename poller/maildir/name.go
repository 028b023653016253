package maildir

import (
	"cmp"
	"slices"
	"strings"
)

// name is the name of a file in new or cur: a unique part, fields that programs
// add to it and change ("S=662,W=691"), and after a separator what is known of
// the mail (":2,S").
type name struct {
	file   string
	unique uint8 // the length of the unique part
	digits uint8 // how many digits it begins with: a time, in seconds
	cur    bool
}

// separators of the information in use: the standard's, and those for file
// systems that refuse it.
const separators = ":!;"

func parse(file string, cur bool) name {
	unique := file[:separator(file)]
	for {
		comma := strings.LastIndexByte(unique, ',')
		if comma <= 0 || !isField(unique[comma+1:]) {
			break
		}
		unique = unique[:comma]
	}
	digits := 0
	for digits < len(unique) && unique[digits] >= '0' && unique[digits] <= '9' {
		digits++
	}
	return name{file, uint8(len(unique)), uint8(digits), cur}
}

// separator is where the information begins; the length of file where there is
// none. The last counts, as it does for Dovecot.
func separator(file string) int {
	for i := len(file) - 3; i > 0; i-- {
		if strings.IndexByte(separators, file[i]) >= 0 && file[i+1:i+3] == "2," {
			return i
		}
	}
	if i := strings.LastIndexByte(file, ':'); i > 0 {
		return i
	}
	return len(file)
}

// isField says that Dovecot (S, W: sizes), mbsync (U: the UID) or OfflineIMAP
// (FMD5) may add the field to a name, or change it.
func isField(field string) bool {
	key, value, _ := strings.Cut(field, "=")
	digits := "0123456789"
	switch key {
	case "S", "W", "U":
	case "FMD5":
		digits += "abcdef"
	default:
		return false
	}
	return value != "" && strings.Trim(value, digits) == ""
}

func (n name) id() string { return n.file[:n.unique] }

// letters are those of the flags, "" where there is no standard information.
func (n name) letters() string {
	_, letters, _ := strings.Cut(n.information(), "2,")
	letters, _, _ = strings.Cut(letters, ",")
	return letters
}

// information begins with the separator.
func (n name) information() string { return n.file[separator(n.file):] }

// seen gives the name with the letter S, in the order of letters, and with what
// else is there.
func (n name) seen(separators byte) string {
	at := separator(n.file)
	rest := ""
	if at < len(n.file) {
		separators = n.file[at]
		_, after, _ := strings.Cut(n.file[at:], ",")
		if i := strings.IndexByte(after, ','); i >= 0 {
			rest = after[i:]
		}
	}
	letters := []byte(n.letters() + "S")
	slices.Sort(letters)
	return n.file[:at] + string(separators) + "2," + string(slices.Compact(letters)) + rest
}

// byArrival orders by the time in the unique part. It keeps one mail's names
// together, and that with its flags first.
func byArrival(a, b name) int {
	if c := cmp.Compare(a.digits, b.digits); c != 0 {
		return c
	}
	if c := cmp.Compare(a.id(), b.id()); c != 0 {
		return c
	}
	switch {
	case a.cur && !b.cur:
		return -1
	case b.cur && !a.cur:
		return 1
	}
	return cmp.Compare(a.file, b.file)
}
