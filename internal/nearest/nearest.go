// Package nearest finds the names that somebody may have meant.
package nearest

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// most is how many names are of help.
const most = 3

// Names gives those of the names that are like the one that is wrong, the
// nearest first and three at most: spelled in nearly the same way, or with the
// one inside the other.
func Names(wrong string, names iter.Seq[string]) []string {
	type candidate struct {
		name     string
		distance int
	}
	var list []candidate
	folded := strings.ToLower(wrong)
	far := 3 // example.com and example.org
	if utf8.RuneCountInString(wrong) < 6 {
		far = 1
	}
	for name := range names {
		other := strings.ToLower(name)
		d := far + 1
		switch {
		case name == "" || wrong == "":
		case strings.Contains(other, folded) || strings.Contains(folded, other):
			d = min(1, distance(folded, other, far))
		default:
			d = distance(folded, other, far)
		}
		if d > far {
			continue
		}
		list = append(list, candidate{name, d})
		slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
		list = list[:min(len(list), most)]
	}
	var found []string
	for _, c := range list {
		if c.distance <= list[0].distance+1 { // else it is another address of the domain
			found = append(found, c.name)
		}
	}
	return found
}

// distance is how many characters are to be put in, left out or changed to make
// b of a; more than far is told no closer.
func distance(a, b string, far int) int {
	from, to := []rune(a), []rune(b)
	if d := len(from) - len(to); d > far || -d > far {
		return far + 1
	}
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range to {
			changed := diagonal
			if r != s {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
