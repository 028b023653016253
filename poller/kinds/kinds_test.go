package kinds_test

import (
	"os"
	"testing"

	"mailrow/internal/pgtest"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestKinds(t *testing.T) {
	for name, kind := range map[string]pollertest.Kind{
		"maildir": {Box: pollertest.Maildir, Folders: true, Many: 100_000},
		"mh":      {Box: pollertest.MH, Folders: true, Many: 20_000},
		"mbox":    {Box: pollertest.Mbox, Many: 100_000},
		"mmdf":    {Box: pollertest.MMDF, Many: 20_000},
		"babyl":   {Box: pollertest.Babyl, Many: 20_000},
	} {
		t.Run(name, func(t *testing.T) { pollertest.Run(t, kind, kinds.Open) })
	}
}
