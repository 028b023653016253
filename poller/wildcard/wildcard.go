// Package wildcard selects folders by the patterns of IMAP (RFC 9051 6.3.9).
package wildcard

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Select gives those names that match any of the patterns, each once, in their
// order. A pattern without wildcard that names none is an error which wraps
// fs.ErrNotExist.
func Select(names, patterns []string) ([]string, error) {
	selected := make([]bool, len(names))
	for _, pattern := range patterns {
		match := compile(pattern)
		found := false
		for i, name := range names {
			if match.MatchString(name) {
				selected[i], found = true, true
			}
		}
		if !found && !strings.ContainsAny(pattern, "*%") {
			return nil, fmt.Errorf("no folder %q, %s: %w", pattern, others(names), fs.ErrNotExist)
		}
	}
	var list []string
	for i, name := range names {
		if selected[i] {
			list = append(list, name)
		}
	}
	return list, nil
}

var wildcards = strings.NewReplacer(`\*`, `.*`, `%`, `[^/]*`)

// compile makes a regular expression, for these are matched in linear time. INBOX
// is the only name whose case does not count.
func compile(pattern string) *regexp.Regexp {
	if strings.EqualFold(pattern, "INBOX") {
		pattern = "INBOX"
	}
	return regexp.MustCompile(`(?s)\A` + wildcards.Replace(regexp.QuoteMeta(strings.ToValidUTF8(pattern, "\uFFFD"))) + `\z`)
}

// others says which names there are.
func others(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "nor any other"
	case len(names) <= most:
		return fmt.Sprintf("only %q", names)
	}
	return fmt.Sprintf("but %q and %d more", names[:most], len(names)-most)
}
