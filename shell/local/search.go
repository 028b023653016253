package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailrow/message"
	"mailrow/poller"
	"mailrow/shell"
)

// criteria is the help of search.
const criteria = `CRITERIA are some of IMAP's, and all must hold: ALL, SEEN, UNSEEN, FLAGGED, UNFLAGGED,
ANSWERED, UNANSWERED, KEYWORD WORD, LARGER BYTES, SMALLER BYTES, SINCE DATE, BEFORE DATE,
FROM TEXT, TO TEXT, CC TEXT, SUBJECT TEXT, HEADER NAME TEXT, BODY TEXT, TEXT TEXT, and
NOT before any. DATE is 2026-01-31 or 31-Jan-2026. Case does not count.`

// mailText is a mail that is searched, read and parsed when that is needed.
type mailText struct {
	mail
	raw    func() ([]byte, error)
	parsed *message.Message
	bytes  []byte
	err    error
}

func (t *mailText) parse() *message.Message {
	if t.parsed == nil {
		t.bytes, t.err = t.raw()
		t.parsed = message.Parse(t.bytes)
	}
	return t.parsed
}

// test is a criterion.
type test func(*mailText) bool

func (s *Session) search(ctx context.Context, c *shell.Call) (shell.Result, error) {
	s.found = nil // also where this fails
	tests, err := parse(c.Operands)
	if err != nil {
		return nil, err
	}
	mails, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var found []uint32
	for _, m := range mails {
		t := &mailText{mail: m, raw: func() ([]byte, error) { return s.read(ctx, m, math.MaxInt64) }}
		meets := !slices.ContainsFunc(tests, func(meets test) bool { return !meets(t) })
		switch {
		case errors.Is(t.err, poller.ErrGone):
		case t.err != nil:
			return nil, t.err
		case meets:
			found = append(found, m.number)
		}
	}
	s.found = found
	return shell.Found(s.name, found), nil
}

// parse reads criteria.
func parse(words []string) (tests []test, err error) {
	for len(words) > 0 {
		var one test
		if one, words, err = parseOne(words); err != nil {
			return nil, err
		}
		tests = append(tests, one)
	}
	return tests, nil
}

func parseOne(words []string) (one test, rest []string, err error) {
	key := strings.ToUpper(words[0])
	rest = words[1:]
	if key == "NOT" && len(rest) > 0 {
		inner, rest, err := parseOne(rest)
		return func(t *mailText) bool { return !inner(t) }, rest, err
	}
	if one := plain(key); one != nil {
		return one, rest, nil
	}
	needed := 1
	if key == "HEADER" {
		needed = 2
	}
	if len(rest) < needed {
		return nil, nil, fmt.Errorf("%s: that is no criterion, or it lacks a word: help search lists them", words[0])
	}
	one, err = withWord(key, rest[:needed])
	return one, rest[needed:], err
}

// plain are criteria without a word of their own; nil for others.
func plain(key string) test {
	if key == "ALL" {
		return func(*mailText) bool { return true }
	}
	name, un := strings.CutPrefix(key, "UN")
	if !slices.Contains([]string{"SEEN", "FLAGGED", "ANSWERED", "DRAFT", "DELETED"}, name) {
		return nil
	}
	return func(t *mailText) bool { return hasFlag(t, `\`+name) != un }
}

func hasFlag(t *mailText, flag string) bool {
	return slices.ContainsFunc(t.Flags, func(one string) bool { return strings.EqualFold(one, flag) })
}

func withWord(key string, words []string) (test, error) {
	word := words[0]
	switch key {
	case "KEYWORD":
		return func(t *mailText) bool { return hasFlag(t, word) }, nil
	case "LARGER", "SMALLER":
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s %s: that is no number of bytes", key, word)
		}
		return func(t *mailText) bool { return key == "LARGER" && t.Size > n || key == "SMALLER" && t.Size < n }, nil
	case "SINCE", "BEFORE":
		day, err := parseDay(word)
		if err != nil {
			return nil, fmt.Errorf("%s %s: write 2026-01-31 or 31-Jan-2026", key, word)
		}
		return func(t *mailText) bool {
			return !t.ReceivedAt.IsZero() && (key == "SINCE") == !t.ReceivedAt.Local().Before(day)
		}, nil
	case "HEADER":
		return func(t *mailText) bool { return inFields(t, word, words[1]) }, nil
	case "FROM", "TO", "CC", "SUBJECT":
		return func(t *mailText) bool { return inFields(t, key, word) }, nil
	case "BODY":
		return func(t *mailText) bool { return contains(t.parse().Text.String(t.bytes), word) }, nil
	case "TEXT":
		return func(t *mailText) bool { return inFields(t, "", word) || contains(t.parse().Text.String(t.bytes), word) }, nil
	}
	return nil, fmt.Errorf("%s: there is no such criterion: help search lists them", key)
}

func parseDay(text string) (time.Time, error) {
	day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		day, err = time.ParseInLocation("2-Jan-2006", text, time.Local)
	}
	return day, err
}

// inFields looks into the fields of a name, or into all where it is "".
func inFields(t *mailText, name, word string) bool {
	return slices.ContainsFunc(t.parse().Fields, func(f message.Field) bool {
		return (name == "" || strings.EqualFold(f.Name, name)) && contains(f.Value, word)
	})
}

func contains(text, word string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(word))
}
