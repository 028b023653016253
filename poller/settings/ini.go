package settings

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// file has the options of each section by name; those of DEFAULT are in every one.
type file map[string]options

const defaults = "DEFAULT"

// parse reads what Python's configparser does, but for values of several lines,
// which no option has.
func parse(text string) (file, error) {
	f := file{defaults: options{}}
	var section options
	lines := bufio.NewScanner(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \t\r")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed != line && section != nil:
			return nil, fmt.Errorf("line %d is indented, so it would belong to the line before: take the blanks away", n)
		case trimmed[0] == '[':
			name, found := strings.CutSuffix(trimmed[1:], "]")
			if !found || name == "" {
				return nil, fmt.Errorf("line %d begins a section that has no name in brackets", n)
			}
			if f[name] != nil && name != defaults {
				return nil, fmt.Errorf("section %s is there twice", name)
			}
			if f[name] == nil {
				f[name] = options{}
			}
			section = f[name]
			continue
		case section == nil:
			return nil, fmt.Errorf("line %d stands before the first section: [DEFAULT] is missing", n)
		}
		at := strings.IndexAny(trimmed, "=:")
		if at <= 0 {
			return nil, fmt.Errorf("line %d has no name and value with = between them", n)
		}
		name := strings.ToLower(strings.TrimRight(trimmed[:at], " \t"))
		if _, twice := section[name]; twice {
			return nil, fmt.Errorf("line %d says an option that this section has already", n)
		}
		section[name] = strings.TrimLeft(trimmed[at+1:], " \t")
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("a line is too long: %w", err)
	}
	return f, nil
}

// options are those of a section with what it does not say: from DEFAULT, and then
// from the environment.
func (f file) options(section string, getenv func(string) string) (options, error) {
	if section == "" {
		section = defaults
	}
	if f[section] == nil {
		var names []string
		for name := range f {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("there is no section %q; there are %s", section, strings.Join(names, ", "))
	}
	raw := options{}
	for _, of := range []options{f[defaults], f[section]} {
		for name, value := range of {
			raw[name] = value
		}
	}
	all := options{}
	for name, value := range raw {
		steps := 0
		whole, err := raw.interpolate(value, 0, &steps)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = whole
	}
	for _, name := range fromEnvironment {
		if _, said := all[name]; said {
			continue
		}
		if value := getenv("imapclient_" + name); value != "" {
			all[name] = value
		}
	}
	return all, nil
}

// deepest is how many options may refer to one another, as in configparser, and
// mostSteps how often in all.
const (
	deepest   = 10
	mostSteps = 1000
)

// interpolate replaces %(name)s by another option, and %% by %.
func (o options) interpolate(value string, depth int, steps *int) (string, error) {
	if *steps++; depth > deepest || *steps > mostSteps {
		return "", fmt.Errorf("its %%(…)s refer to each other without an end")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after, double := strings.CutPrefix(rest, "%"); double {
			b.WriteByte('%')
			value = after
			continue
		}
		name, after, ends := strings.Cut(rest, ")s")
		name, opens := strings.CutPrefix(name, "(")
		other, is := o[strings.ToLower(name)]
		switch {
		case !opens || !ends:
			return "", fmt.Errorf("a single %% stands for another option there: write %%%% for a %%")
		case !is:
			return "", fmt.Errorf("it refers to an option that is not there")
		}
		whole, err := o.interpolate(other, depth+1, steps)
		if err != nil {
			return "", err
		}
		b.WriteString(whole)
		value = after
	}
}
