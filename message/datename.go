package message

import (
	"strings"
	"time"
)

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
