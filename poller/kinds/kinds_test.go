package kinds_test

import (
	"os"
	"testing"

	"mailrow/internal/pgtest"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestMaildir(t *testing.T) {
	pollertest.Run(t, pollertest.Kind{Box: pollertest.Maildir, Archives: true, Marks: true, Many: 100_000}, kinds.Open)
}
