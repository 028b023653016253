package poller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailrow/poller/dial"
)

// parameter is one of those that follow the question mark.
type parameter struct {
	of    func(URI) bool // which sources have it
	many  bool           // as often as needed
	read  func(u *URI, value string) (reason string)
	write func(u URI) []string // its values in the canonical form
}

// parameters stand in the canonical form in this order: "folder" first, "after" and
// "archive" next, then by name.
var parameters = map[string]parameter{
	"folder": {of: every, many: true,
		read: func(u *URI, value string) string {
			u.Folders = append(u.Folders, value)
			return ""
		},
		write: func(u URI) []string { return u.Folders }},
	"after": {of: every,
		read: (*URI).readAfter,
		write: func(u URI) []string {
			if u.After == AfterKeep || u.After == AfterArchive || u.After == "" {
				return nil
			}
			return []string{u.Policy()}
		}},
	"archive":     text(every, func(u *URI) *string { return &u.Archive }),
	"search":      text(URI.IMAP, func(u *URI) *string { return &u.Search }),
	"since":       {of: URI.IMAP, read: (*URI).readSince, write: URI.since},
	"auth":        text(elsewhere, func(u *URI) *string { return &u.Auth }),
	"ca":          file(func(u *URI) *string { return &u.Verify.CA }),
	"certificate": file(func(u *URI) *string { return &u.Verify.Certificate }),
	"key":         file(func(u *URI) *string { return &u.Verify.Key }),
	"pin": {of: elsewhere, many: true,
		read: func(u *URI, value string) string {
			if _, err := dial.ParsePin(value); err != nil {
				return err.Error()
			}
			u.Verify.Pins = append(u.Verify.Pins, value)
			return ""
		},
		write: func(u URI) []string { return u.Verify.Pins }},
	"tls": {of: elsewhere,
		read: func(u *URI, value string) string {
			if value != "insecure" {
				return fmt.Sprintf("tls=%s: it is insecure, or left out", value)
			}
			u.Verify.Insecure = true
			return ""
		},
		write: func(u URI) []string {
			if !u.Verify.Insecure {
				return nil
			}
			return []string{"insecure"}
		}},
}

func every(URI) bool { return true }

func elsewhere(u URI) bool { return !u.Local() }

// text is a parameter whose value is kept as it is.
func text(of func(URI) bool, field func(*URI) *string) parameter {
	return parameter{of: of,
		read: func(u *URI, value string) string {
			*field(u) = value
			return ""
		},
		write: func(u URI) []string {
			if value := *field(&u); value != "" {
				return []string{value}
			}
			return nil
		}}
}

// file is a parameter that names a file: of a poller nobody knows in which
// directory it runs.
func file(field func(*URI) *string) parameter {
	p := text(elsewhere, field)
	keep := p.read
	p.read = func(u *URI, value string) string {
		if !strings.HasPrefix(value, "/") {
			return fmt.Sprintf("file %q is not an absolute path", value)
		}
		return keep(u, value)
	}
	return p
}

// readSince reads a UID or a day.
func (u *URI) readSince(value string) (reason string) {
	if uid, err := strconv.ParseUint(value, 10, 32); err == nil && uid > 0 {
		u.SinceUID = uint32(uid)
		return ""
	}
	day, err := time.Parse(time.DateOnly, value)
	if err != nil || day.Year() < 1970 {
		return fmt.Sprintf("since=%s: it is a UID such as 4711, or a day such as 2026-01-31", value)
	}
	u.Since = day
	return ""
}

func (u URI) since() []string {
	switch {
	case u.SinceUID > 0:
		return []string{strconv.FormatUint(uint64(u.SinceUID), 10)}
	case !u.Since.IsZero():
		return []string{u.Since.Format(time.DateOnly)}
	}
	return nil
}

// names are those of the parameters that a source has, in order.
func (u URI) names() []string {
	names := slices.Sorted(maps.Keys(parameters))
	return slices.DeleteFunc(names, func(name string) bool { return !parameters[name].of(u) })
}

// readQuery reads the parameters. As in Django Mailbox, + is a blank there.
func (u *URI) readQuery(query string) (reason string) {
	given := map[string]bool{}
	for one := range strings.SplitSeq(query, "&") {
		if one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		value, ok := unescape(strings.ReplaceAll(value, "+", " "))
		p, known := parameters[name]
		switch {
		case !known || !p.of(*u):
			names := u.names()
			last := len(names) - 1
			return fmt.Sprintf("there is no parameter %q; there are %s and %s", name, strings.Join(names[:last], ", "), names[last])
		case !ok:
			return fmt.Sprintf("parameter %s has a %% that is not followed by two hexadecimal digits; %% itself is %%25", name)
		case value == "" || !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			return fmt.Sprintf("parameter %s is empty or no text", name)
		case given[name] && !p.many:
			return fmt.Sprintf("parameter %s is there twice", name)
		}
		given[name] = true
		if reason := p.read(u, value); reason != "" {
			return reason
		}
	}
	return u.contradiction(given)
}

// contradiction finds parameters that do not go together.
func (u *URI) contradiction(given map[string]bool) (reason string) {
	switch {
	case given["archive"] && !given["after"]:
		u.After = AfterArchive
	case given["archive"] && u.After != AfterArchive:
		return fmt.Sprintf("archive= and after=%s contradict each other", u.After)
	case u.After == AfterArchive && u.Archive == "":
		return "after=archive needs a folder, such as archive=Done"
	}
	if u.Kind == "pop3" && (u.After == AfterArchive || u.After == AfterSeen) {
		return fmt.Sprintf("after=%s is not possible with POP3, which can only keep mail or delete it: IMAP can", u.After)
	}
	for _, name := range []string{"ca", "certificate", "key", "pin", "tls"} {
		if given[name] && !u.Encrypted() {
			return fmt.Sprintf("%s= is for TLS: write %[2]s+ssl or %[2]s+tls", name, u.Kind)
		}
	}
	switch {
	case given["tls"] && (given["pin"] || given["ca"]):
		return "tls=insecure and ca= or pin= contradict each other"
	case given["key"] && !given["certificate"]:
		return "key= is that of certificate=, which is missing"
	}
	u.Auth = strings.ToUpper(u.Auth)
	return ""
}

// query is the canonical form of the parameters.
func (u URI) query() string {
	names := u.names()
	rank := func(name string) int { return slices.Index([]string{"", "after", "folder"}, name) }
	slices.SortStableFunc(names, func(a, b string) int { return rank(b) - rank(a) })
	var all []string
	for _, name := range names {
		if name == "archive" && u.After != AfterArchive {
			continue
		}
		for _, value := range parameters[name].write(u) {
			all = append(all, name+"="+escape(value, "&+@"))
		}
	}
	return strings.Join(all, "&")
}
