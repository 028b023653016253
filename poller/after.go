package poller

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// After is what becomes of a mail at its source once it is stored.
type After string

// The values of parameter after.
const (
	AfterKeep    After = "keep" // where nothing is said
	AfterDelete  After = "delete"
	AfterArchive After = "archive"
	AfterSeen    After = "seen"
)

// later is a deletion that waits: delete-after:30d.
const later = "delete-after:"

var afters = []string{string(AfterKeep), string(AfterDelete), later + "30d", string(AfterArchive), string(AfterSeen)}

// readAfter reads the parameter after. It gives what is wrong with it.
func (u *URI) readAfter(value string) (reason string) {
	delay, waits := strings.CutPrefix(value, later)
	switch {
	case waits:
		var ok bool
		if u.Delay, ok = readDelay(delay); !ok {
			return fmt.Sprintf("after=%s: after the colon is a number of days or hours, such as 30d or 12h", value)
		}
		value = string(AfterDelete)
	case !slices.Contains(afters, value):
		return fmt.Sprintf("after=%s: it is one of %s", value, strings.Join(afters, ", "))
	}
	u.After = After(value)
	return ""
}

const (
	day      = 24 * time.Hour
	maxDelay = 36500 * day
)

func readDelay(text string) (time.Duration, bool) {
	for suffix, unit := range map[string]time.Duration{"d": day, "h": time.Hour} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 32)
			if err != nil || n == 0 || n > uint64(maxDelay/unit) {
				return 0, false
			}
			return time.Duration(n) * unit, true
		}
	}
	return 0, false
}

// Policy is what is to become of mail once it is stored, in one text.
func (u URI) Policy() string {
	switch {
	case u.After == AfterArchive:
		return string(u.After) + " " + u.Archive
	case u.Delay > 0 && u.Delay%day == 0:
		return later + strconv.FormatInt(int64(u.Delay/day), 10) + "d"
	case u.Delay > 0:
		return later + strconv.FormatInt(int64(u.Delay/time.Hour), 10) + "h"
	}
	return string(u.After)
}
