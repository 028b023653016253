// Man writes the manual pages into the folder it is given, with the table of
// exit statuses as the program has it.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mailrow/deliver"
)

//go:embed mailrow-deliver.8.in
var page string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man FOLDER")
		os.Exit(2)
	}
	path := filepath.Join(os.Args[1], "mailrow-deliver.8")
	if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "write manual:", err)
		os.Exit(1)
	}
}

// Page is mailrow-deliver(8).
func Page() string {
	var rows strings.Builder
	for _, s := range deliver.Table() {
		fmt.Fprintf(&rows, ".It %d %s %s\n%s.\n", s.Exit, s.Enhanced, s.Text, capitalized(s.Meaning))
	}
	return strings.Replace(page, "@TABLE@\n", rows.String(), 1)
}

func capitalized(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
