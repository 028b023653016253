package shell

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// known is a command as help lists it.
type known struct {
	Name     string `json:"name"`
	Operands string `json:"operands,omitempty"`
	Short    string `json:"short"`
	Long     string `json:"long,omitempty"`
}

type helpText struct {
	Commands []known `json:"commands"`
}

func (c Command) usage() string {
	return strings.TrimSpace(c.Name + " " + c.Operands)
}

func (s *Shell) help(_ context.Context, c *Call) (Result, error) {
	var all helpText
	for _, one := range s.commands() {
		all.Commands = append(all.Commands, known{one.Name, one.Operands, one.Short, one.Long})
	}
	slices.SortFunc(all.Commands, func(a, b known) int { return cmp.Compare(a.Name, b.Name) })
	if len(c.Operands) == 0 {
		return all, nil
	}
	name := strings.ToLower(c.Operands[0])
	i := slices.IndexFunc(all.Commands, func(k known) bool { return k.Name == name })
	if i < 0 {
		return nil, s.unknown(name)
	}
	return all.Commands[i], nil
}

func (h helpText) Words() string {
	var rows [][]string
	for _, k := range h.Commands {
		rows = append(rows, []string{strings.TrimSpace(k.Name + " " + k.Operands), k.Short})
	}
	return Table("COMMAND DOES", rows) + "\n" + notation
}

// notation is what operands are, in every mailbox.
const notation = `UIDS are as in 7 or 3:9,12 or 5:* where * is the last; "all", or "found" for what
the last search or fetch found. Names with blanks stand between quotation marks.
Ctrl-C ends a command, Ctrl-D the session.
`

func (k known) Words() string {
	text := strings.TrimSpace(k.Name+" "+k.Operands) + "\n\n  " + strings.ToUpper(k.Short[:1]) + k.Short[1:] + ".\n"
	if k.Long != "" {
		text += "\n"
		for line := range strings.Lines(strings.TrimSpace(k.Long) + "\n") {
			text += "  " + line
		}
	}
	return text
}
