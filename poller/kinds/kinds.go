// Package kinds opens sources of every kind.
package kinds

import (
	"context"
	"errors"
	"fmt"

	"mailrow/poller"
	"mailrow/poller/maildir"
)

// ErrNotBuilt says that this version knows the kind by name only.
var ErrNotBuilt = errors.New("sources of this kind are not there yet")

// Open opens the source that a URI names.
func Open(_ context.Context, u poller.URI) (poller.Source, error) {
	switch u.Kind {
	case "maildir":
		return maildir.Open(u.Path, maildir.Options{})
	}
	return nil, fmt.Errorf("%s: %w", u.Kind, ErrNotBuilt)
}
