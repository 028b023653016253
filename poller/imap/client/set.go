package client

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Set writes UIDs, or sequence numbers, as IMAP does: 1:3,7. It has these and no
// other, and is as short as it can be.
func Set(numbers []uint32) string {
	numbers = slices.Clone(numbers)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var b []byte
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] == numbers[last]+1 {
			last++
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(numbers[i]), 10)
		if last > i {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(numbers[last]), 10)
		}
		i = last + 1
	}
	return string(b)
}

// Ranges are numbers from the first to the last of each, in order.
type Ranges [][2]uint32

// ParseSet reads a set without "*". What is no set is left out.
func ParseSet(text string) Ranges {
	var all Ranges
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, ":")
		first, ok := Uint32(low)
		last, okay := first, true
		if isRange {
			last, okay = Uint32(high)
		}
		if ok && okay {
			all = append(all, [2]uint32{min(first, last), max(first, last)})
		}
	}
	return all.normal()
}

// normal puts ranges in order, and together those that touch.
func (r Ranges) normal() Ranges {
	slices.SortFunc(r, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	var all Ranges
	for _, next := range r {
		if n := len(all); n > 0 && uint64(next[0]) <= uint64(all[n-1][1])+1 {
			all[n-1][1] = max(all[n-1][1], next[1])
			continue
		}
		all = append(all, next)
	}
	return all
}

// Count is how many numbers there are.
func (r Ranges) Count() int {
	n := 0
	for _, part := range r {
		n += int(part[1]-part[0]) + 1
	}
	return n
}

// Contains says whether n is among them.
func (r Ranges) Contains(n uint32) bool {
	_, found := slices.BinarySearchFunc(r, n, func(part [2]uint32, n uint32) int {
		switch {
		case part[1] < n:
			return -1
		case part[0] > n:
			return 1
		}
		return 0
	})
	return found
}

// Pieces gives the numbers in sets that servers take in one line, of n numbers at
// most.
func (r Ranges) Pieces(n int) iter.Seq[Ranges] {
	return func(yield func(Ranges) bool) {
		for len(r) > 0 {
			var piece Ranges
			if piece, r = r.Take(n); !yield(piece) {
				return
			}
		}
	}
}

// maxParts of a set keep a line below the 8 kB that every server takes.
const maxParts = 300

// Take gives the first n numbers, or fewer, as fit into one line, and the rest.
func (r Ranges) Take(n int) (first, rest Ranges) {
	for i, part := range r {
		if n <= 0 || i == maxParts {
			return first, r[i:]
		}
		if have := int(part[1]-part[0]) + 1; have > n {
			last := part[0] + uint32(n) - 1
			rest = append(Ranges{{last + 1, part[1]}}, r[i+1:]...)
			return append(first, [2]uint32{part[0], last}), rest
		} else {
			n -= have
		}
		first = append(first, part)
	}
	return first, nil
}

func (r Ranges) String() string {
	var parts []string
	for _, part := range r {
		text := strconv.FormatUint(uint64(part[0]), 10)
		if part[1] > part[0] {
			text += ":" + strconv.FormatUint(uint64(part[1]), 10)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}
