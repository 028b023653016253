// Package kinds opens sources of every kind.
package kinds

import (
	"context"
	"errors"
	"fmt"

	"mailrow/poller"
	"mailrow/poller/babyl"
	"mailrow/poller/maildir"
	"mailrow/poller/mbox"
	"mailrow/poller/mh"
	"mailrow/poller/mmdf"
)

// ErrNotBuilt says that this version knows the kind by name only.
var ErrNotBuilt = errors.New("sources of this kind are not there yet")

// Open opens the source that a URI names.
func Open(_ context.Context, u poller.URI) (poller.Source, error) {
	switch u.Kind {
	case "maildir":
		return maildir.Open(u.Path, maildir.Options{})
	case "mh":
		return mh.Open(u.Path)
	case "mbox":
		return mbox.Open(u.Path, mbox.Options{})
	case "mmdf":
		return mmdf.Open(u.Path, mmdf.Options{})
	case "babyl":
		return babyl.Open(u.Path, babyl.Options{})
	}
	return nil, fmt.Errorf("%s: %w", u.Kind, ErrNotBuilt)
}
