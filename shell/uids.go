package shell

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UIDs are numbers of mails as somebody has typed them. The highest there is, "*",
// is 0.
type UIDs [][2]uint32

// All is every mail.
var All = UIDs{{1, 0}}

// ParseUIDs reads 7, 3:9,12, 5:*, "all", or "found" for those of found.
func ParseUIDs(text string, found []uint32) (UIDs, error) {
	switch strings.ToLower(text) {
	case "all":
		return All, nil
	case "found":
		if len(found) == 0 {
			return nil, fmt.Errorf("nothing was found: search first")
		}
		return spans(found), nil
	}
	var all UIDs
	for part := range strings.SplitSeq(text, ",") {
		low, high, ranged := strings.Cut(part, ":")
		first, ok := parseUID(low)
		last, okay := first, true
		if ranged {
			last, okay = parseUID(high)
		}
		if !ok || !okay {
			return nil, fmt.Errorf(`%q names no mails: write UIDs such as 7 or 3:9,12 or 5:*, "all" or "found"`, text)
		}
		if first == 0 || last != 0 && last < first {
			first, last = last, first
		}
		if first == 0 {
			first = last // "*:*"
		}
		all = append(all, [2]uint32{first, last})
	}
	return all, nil
}

// spans are numbers in order, put together.
func spans(numbers []uint32) UIDs {
	var all UIDs
	for _, n := range numbers {
		if last := len(all) - 1; last >= 0 && all[last][1]+1 == n {
			all[last][1] = n
			continue
		}
		all = append(all, [2]uint32{n, n})
	}
	return all
}

func parseUID(text string) (uint32, bool) {
	if text == "*" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n > 0
}

// String writes them as IMAP does.
func (u UIDs) String() string {
	var parts []string
	for _, span := range u {
		text := star(span[0])
		if span[1] != span[0] {
			text += ":" + star(span[1])
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}

// ParseTime reads how long to wait.
func ParseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time: write 30s, 5m or 1h", text)
	}
	return d, nil
}

func star(n uint32) string {
	if n == 0 {
		return "*"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// Among gives those of numbers that are meant, in order. Unlike in IMAP, 9:* is
// nothing where 8 is the highest.
func (u UIDs) Among(numbers []uint32) []uint32 {
	numbers = slices.Sorted(slices.Values(numbers))
	if len(numbers) == 0 {
		return nil
	}
	highest := numbers[len(numbers)-1]
	return slices.DeleteFunc(numbers, func(n uint32) bool {
		return !slices.ContainsFunc(u, func(span [2]uint32) bool {
			low, high := span[0], span[1]
			if low == 0 {
				low = highest
			}
			if high == 0 {
				high = math.MaxUint32
			}
			return low <= n && n <= high
		})
	})
}

// Some is Among, where none is an error that names the folder.
func (u UIDs) Some(numbers []uint32, folder string) ([]uint32, error) {
	these := u.Among(numbers)
	if len(these) == 0 {
		return nil, fmt.Errorf("there is no mail %s in %s: fetch lists the mails there", u, folder)
	}
	return these, nil
}
