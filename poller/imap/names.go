package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"mailrow/poller/imap/client"
)

const inbox = "INBOX"

// Folders lists the folders that match patterns. They may be typed as people
// do: in quotes, with the server's own prefix or without, in UTF-8 or as the server
// spells them.
func (s *Source) Folders(ctx context.Context, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return []string{inbox}, nil
	}
	if err := s.alive(ctx); err != nil {
		return nil, err
	}
	var names []string
	for _, pattern := range patterns {
		found, err := s.matching(ctx, unquote(pattern))
		if err != nil {
			return nil, fmt.Errorf("list folders %q of %s: %w", pattern, &s.conf.Server, err)
		}
		for _, l := range found {
			name := s.ns.Display(s.conn, l)
			if before, known := s.names[name]; known && before != l.Name {
				return nil, fmt.Errorf("list folders %q of %s: both %q and %q are %q here: rename one", pattern, &s.conf.Server, before, l.Name, name)
			}
			s.names[name] = l.Name
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

func unquote(name string) string {
	if len(name) > 2 && strings.HasPrefix(name, `"`) && strings.HasSuffix(name, `"`) {
		return name[1 : len(name)-1]
	}
	return name
}

func (s *Source) matching(ctx context.Context, pattern string) ([]client.Listed, error) {
	wire := s.ns.Spell(s.conn, pattern)
	found, err := s.list(ctx, wire)
	if err != nil || len(found) > 0 {
		return found, err
	}
	if s.ns.Prefix != "" && !strings.HasPrefix(wire, s.ns.Prefix) {
		if found, err = s.list(ctx, s.ns.Prefix+wire); err != nil || len(found) > 0 {
			return found, err
		}
	}
	all, err := s.list(ctx, "*")
	if err != nil {
		return nil, err
	}
	// Somebody typed it as the server spells it, or composes letters otherwise.
	var there []string
	for _, l := range all {
		name := s.ns.Display(s.conn, l)
		if strings.TrimPrefix(l.Name, s.ns.Prefix) == pattern || norm.NFC.String(name) == norm.NFC.String(pattern) {
			return []client.Listed{l}, nil
		}
		there = append(there, fmt.Sprintf("%q", name))
	}
	if strings.ContainsAny(pattern, "*%") {
		return nil, nil
	}
	const most = 20
	more := ""
	if len(there) > most {
		there, more = there[:most], ", …"
	}
	return nil, fmt.Errorf("there is no such folder that holds mail; there are %s%s", strings.Join(there, ", "), more)
}

// list gives the folders that hold mail.
func (s *Source) list(ctx context.Context, pattern string) ([]client.Listed, error) {
	found, err := s.conn.List(ctx, pattern)
	return slices.DeleteFunc(found, func(l client.Listed) bool { return !l.Selectable() }), err
}

// wire is the server's name of a folder that was listed, or else what it would
// call it.
func (s *Source) wire(name string) string {
	if wire, ok := s.names[name]; ok {
		return wire
	}
	return s.ns.Spell(s.conn, name)
}
