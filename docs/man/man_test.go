package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"mailrow/deliver"
	"mailrow/internal/needs"
)

func TestPageIsCleanAndHasTheTable(t *testing.T) {
	page := Page()
	for _, s := range deliver.Table() {
		if row := fmt.Sprintf(".It %d %s %s\n", s.Exit, s.Enhanced, s.Text); !strings.Contains(page, row) {
			t.Errorf("the page lacks %q", row)
		}
	}
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		needs.Missing(t, "mandoc", needs.Install)
	}
	lint := exec.Command(mandoc, "-T", "lint", "-W", "warning")
	lint.Stdin = strings.NewReader(page)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}
