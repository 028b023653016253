package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"mailrow/store/schema"
)

// version may be set with -ldflags "-X main.version=…".
var version string

// build is what this program was made of.
type build struct {
	Version string `json:"version"`
	Schema  int    `json:"schema"`
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Schema: schema.Wanted()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Go = info.GoVersion
		b.Version = cmp.Or(b.Version, info.Main.Version)
		if b.Version == "(devel)" {
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					b.Version = s.Value
				}
			}
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	return b
}

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program and of the schema that it knows",
		Example: `  mailrow version --json`,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if asJSON {
				return p.writeJSON(b)
			}
			return p.write(fmt.Sprintf("mailrow %s, schema %d, %s\n", b.Version, b.Schema, b.Go))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
