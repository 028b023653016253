// Package needs says what happens to a test whose server, user or privilege is
// not there: in CI it fails, on a developer's machine it is skipped with the
// remedy. No other package decides this.
package needs

import (
	"fmt"
	"os"
	"testing"
)

// Install is the remedy for a missing server.
const Install = "run scripts/install-servers"

// Root is the remedy for a missing privilege.
const Root = "run the tests as root"

// Missing ends the test because what is not there.
func Missing(t testing.TB, what, remedy string) {
	t.Helper()
	text := fmt.Sprintf("%s is missing: %s", what, remedy)
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}
