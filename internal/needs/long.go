package needs

import "os"

// Times is how often, or with how much, a test does what takes long: few, and many
// where MAILROW_LONG is set.
func Times(few, many int) int {
	if os.Getenv("MAILROW_LONG") != "" {
		return many
	}
	return few
}
