package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mailrow/poller/kinds"
	"mailrow/store/source"
)

// opener opens sources, and logs into those elsewhere as their rows say.
func (p *program) opener(c *cobra.Command) kinds.Opener {
	return kinds.Opener{
		Credentials: p.keeper(c).Of,
		Warn:        func(_ source.Source, err error) { fmt.Fprintln(p.err, "mailrow: warning: "+line(err)) },
	}
}
