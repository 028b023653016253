package message

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The parser is compared with three others: stalwart's mail-parser and Apache
// mime4j, as far as their own test mails have the results beside them, and
// Python's email package over the whole corpus. What differs is either counted
// as disagreement, of which there may be little more than there is now, or is
// of a class that is listed with the reason why we do otherwise.

// agreement counts, field by field, how often another reader agrees with us.
type agreement struct {
	t       *testing.T
	rules   []otherwise
	same    map[string]int
	all     map[string]int
	allowed map[string]int // by reason
}

// otherwise is a class of differences that are meant.
type otherwise struct {
	reason string
	fields string // "" is all
	mails  string // names, separated by blanks; "" is all
	is     func(difference) bool
	most   int // times that it may be met
}

// difference is one field of a mail that another reader reads in another way.
type difference struct {
	mail, part, field, ours, theirs string
	m                               *Message

	leaf    *pythonLeaf // with the content that we read there, for Python
	content []byte
}

func compareWith(t *testing.T, rules []otherwise) *agreement {
	return &agreement{t, rules, map[string]int{}, map[string]int{}, map[string]int{}}
}

func (a *agreement) compare(d difference) {
	if d.ours == "" && d.theirs == "" {
		return
	}
	if d.ours != d.theirs {
		for _, rule := range a.rules {
			if rule.covers(d) {
				a.allowed[rule.reason]++
				return
			}
		}
		a.t.Logf("%s %s %s:\n  ours   %.300q\n  theirs %.300q\n  %v", d.mail, d.part, d.field, d.ours, d.theirs, d.m.Defects)
	} else {
		a.same[d.field]++
	}
	a.all[d.field]++
}

func (r *otherwise) covers(d difference) bool {
	return (r.fields == "" || slices.Contains(strings.Fields(r.fields), d.field)) &&
		(r.mails == "" || slices.Contains(strings.Fields(r.mails), d.mail)) &&
		(r.is == nil || r.is(d))
}

// check prints the agreement, and fails where it is under the floor: the share
// of each field that agreed when it was last looked at.
func (a *agreement) check(floors map[string]float64) {
	a.t.Helper()
	for _, rule := range a.rules {
		a.t.Logf("%5d differ: %s", a.allowed[rule.reason], rule.reason)
		if n := a.allowed[rule.reason]; n == 0 || n > rule.most {
			a.t.Errorf("%d differ, not %d: %s", n, rule.most, rule.reason)
		}
	}
	fields := make([]string, 0, len(a.all))
	for field := range a.all {
		fields = append(fields, field)
	}
	slices.SortFunc(fields, cmp.Compare[string])
	for _, field := range fields {
		share := float64(a.same[field]) / float64(a.all[field])
		a.t.Logf("%s: %d of %d agree (%.4f)", field, a.same[field], a.all[field], share)
		if floor, ok := floors[field]; !ok || share < floor {
			a.t.Errorf("%s: agreement %.4f is under %.4f", field, share, floor)
		}
	}
	for field := range floors {
		if a.all[field] == 0 {
			a.t.Errorf("%s was not compared", field)
		}
	}
}

func addressText(list []Address) string {
	var out []string
	for _, a := range list {
		out = append(out, oneBlank(fmt.Sprintf("%q <%s>", oneBlank(a.Name), a.Address)))
	}
	return strings.Join(out, ", ")
}

func oneBlank(s string) string { return strings.Join(strings.Fields(s), " ") }

// entities gives the parts of a mail without those that were unpacked.
func entities(m *Message) []int {
	var list []int
	for i := range m.Parts {
		if m.Parts[i].Content == nil {
			list = append(list, i)
		}
	}
	return list
}

// structure is the tree of types below part i, as "a/b(c/d e/f)".
func structure(m *Message, i int) string {
	var inside []string
	for j := i + 1; j < len(m.Parts); j++ {
		if m.Parts[j].Parent == i && m.Parts[j].Content == nil {
			inside = append(inside, structure(m, j))
		}
	}
	if inside == nil {
		return m.Parts[i].Type
	}
	return m.Parts[i].Type + "(" + strings.Join(inside, " ") + ")"
}

// with says whether the mail has a defect.
func with(defects ...Defect) func(difference) bool {
	return func(d difference) bool {
		return slices.ContainsFunc(defects, func(one Defect) bool { return slices.Contains(d.m.Defects, one) })
	}
}

// readable says whether we give text where theirs has replacement characters.
func readable(d difference) bool {
	return strings.Contains(d.theirs, "\uFFFD") && !strings.Contains(d.ours, "\uFFFD")
}
